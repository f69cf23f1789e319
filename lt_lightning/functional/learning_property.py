"""The learning property: what holds between a classifier's probabilities once training has converged."""

import torch
from torch import Tensor


def gradient_sides(gradients: Tensor, dtype: torch.dtype) -> Tensor:
    """Both sides of the learning property for each class: what pulls its logit up, and what pushes it down.

    For ``w (p - q)`` with classes as targets these are the sides of eq. (8): ``λ_k Σ_{i∈S_k} (1 - p_k(x_i))`` and
    ``Σ_{j≠k} λ_j Σ_{i∈S_j} p_k(x_i)``. A bias that is trained and not decayed is at rest where they are equal, whatever
    the loss.

    Args:
        gradients: Of a summed loss with respect to the logits, ``(N, K)``.
        dtype: Of the results; fp64 where there is one.

    Returns:
        ``(2, K)``: sums of the negative and of the positive gradients, both as positive numbers. They add over batches.
    """
    return torch.stack(((-gradients).clamp_min(0).sum(dim=0), gradients.clamp_min(0).sum(dim=0))).to(dtype)


def relative_residual(sides: Tensor, decay: Tensor | None = None) -> Tensor:
    """How far each class is from the learning property, ``(left - right - decay) / (left + right + |decay|)``.

    Args:
        sides: ``(2, K)``, over the whole training set, as :func:`gradient_sides` gives them.
        decay: ``(K,)``, what weight decay adds to the gradient of the summed loss where biases are decayed: decay times
            bias times what the loss was divided by (its samples, or their weights); ``None`` for none.

    Returns:
        ``(K,)``, in [-1, 1]: 0 where the bias is at rest, above 0 where its logit is still too low. NaN where nothing
        acts on it.

    References:
        Li et al., "On the Learning Property of Logistic and Softmax Losses for Deep Neural Networks" (LGL-INR), AAAI
        2020, eq. (8).
    """
    left, right = sides.unbind()
    pull = torch.zeros_like(left) if decay is None else decay.to(left)
    return (left - right - pull) / (left + right + pull.abs())

"""The learning property: what holds between a classifier's probabilities once training has converged."""

import torch
from torch import Tensor

from lt_lightning.functional.precision import at_least_fp32


def logit_gradients(logits: Tensor, targets: Tensor, weight: Tensor | None = None, one_vs_all: bool = False) -> Tensor:
    """Gradient with respect to the logits of the summed cross entropy, ``w (p - q)``.

    Args:
        logits: As trained with, ``(N, K)``.
        targets: Classes, ``(N,)``, int64, or labels q in [0, 1], ``(N, K)``, smoothed or with several classes.
        weight: λ, weight of each class, ``(K,)``; labels q get the mean of the weights that they mix.
        one_vs_all: Whether p is sigmoid (logistic losses) instead of softmax.

    Returns:
        ``(N, K)``, in fp32 at least.
    """
    logits = at_least_fp32(logits)
    soft = targets.ndim == 2
    p = torch.sigmoid(logits) if one_vs_all else torch.softmax(logits, dim=1)
    if soft:
        gradients = p - targets.to(p.dtype)
    else:
        index = targets.unsqueeze(1)
        own = logits.gather(1, index)
        # p_y - 1 as minus the probability of the rest: subtracting from 1 would leave nothing of a small residual.
        missing = torch.sigmoid(-own) if one_vs_all else p.scatter(1, index, 0.0).sum(dim=1, keepdim=True)
        gradients = p.scatter(1, index, -missing)
    if weight is None:
        return gradients
    weight = weight.to(p.dtype)
    if not soft:
        return gradients * weight[targets].unsqueeze(1)
    labels = targets.to(p.dtype)
    return gradients * (labels @ weight / labels.sum(dim=1)).unsqueeze(1)


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

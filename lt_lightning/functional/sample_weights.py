"""Weights of samples by how wrong they are: the focal factor of softmax losses, and the influence."""

import torch
from torch import Tensor


def focal_factor(losses: Tensor, gamma: float) -> Tensor:
    """``(1 - p_y)^γ`` from the cross entropies ``-log p_y``.

    Args:
        losses: Cross entropy of each sample without class weights, ``(N,)``, each at least 0.
        gamma: γ, at least 0.

    Returns:
        ``(N,)``.

    References:
        Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.
    """
    # For γ < 1 the power has an infinite gradient at p = 1; below the clamp there is none.
    return wrongness(losses).clamp_min(torch.finfo(losses.dtype).tiny) ** gamma


def wrongness(losses: Tensor) -> Tensor:
    """``1 - p_y`` from the cross entropies ``-log p_y``, ``(N,)``, to full precision also where p is near 1."""
    return -torch.expm1(-losses)


def influence(losses: Tensor, features: Tensor) -> Tensor:
    """``‖p - onehot(y)‖₁ ‖h‖₁``: the L1 norm of the gradient of cross entropy by the classifier's weights.

    The first factor is ``2 (1 - p_y)``, so it needs no probabilities.

    Args:
        losses: Cross entropy of each sample without class weights, ``(N,)``.
        features: h, ``(N, D)``, fp32 at least.

    Returns:
        ``(N,)``, of the dtype of ``losses``, differentiable by both.

    References:
        Park et al., "Influence-Balanced Loss for Imbalanced Visual Classification", ICCV 2021.
    """
    return 2 * wrongness(losses) * features.abs().sum(dim=1).to(losses.dtype)

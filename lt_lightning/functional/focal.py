"""The focal factor of softmax losses."""

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

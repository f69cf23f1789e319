"""Smoothed labels: over-smoothing's strength as a logit gap, and smoothing that depends on the class."""

from collections.abc import Sequence
from math import exp, pi
from typing import Literal

import torch
from torch import Tensor

from lt_lightning.functional.priors import as_counts

SmoothingShape = Literal["concave", "linear", "convex", "exp"]


def delta_from_gap(gap: float, num_classes: int) -> float:
    """Smoothing δ whose minimiser separates the target logit from the others by ``gap``: ``K / (K + e^gap - 1)``.

    With smoothed labels q the loss is least where softmax equals q: δ/K for each other class, δ/K + 1 - δ for the
    target.

    Args:
        gap: At least 0, in units of the logits.
        num_classes: K.

    Returns:
        δ in [0, 1].
    """
    # Both terms divided by e^gap, which overflows from 710 on.
    others = num_classes * exp(-gap)
    return others / (others + 1 - exp(-gap))


def label_aware_smoothing(
    class_counts: Sequence[int] | Tensor,
    head: float,
    tail: float,
    shape: SmoothingShape = "concave",
    power: float = 2.0,
) -> Tensor:
    """Smoothing of each class, from ``tail`` for the rarest to ``head`` for the most frequent.

    With ``t = (n_c - n_min) / (n_max - n_min)`` and ``tail + (head - tail) f(t)``, f is sin(πt/2) for ``concave``, t
    for ``linear``, 1 - cos(πt/2) for ``convex``, t^power for ``exp``.

    Args:
        class_counts: Training images per class, ``(K,)``.
        head: Smoothing of the most frequent class; of every class where all counts are equal.
        tail: Smoothing of the rarest class.
        shape: How smoothing grows with the count.
        power: Exponent, for ``exp`` alone.

    Returns:
        ``(K,)``, as :func:`~lt_lightning.functional.priors.as_counts` gives them.

    References:
        Zhong et al., "Improving Calibration for Long-Tailed Recognition" (MiSLAS), CVPR 2021; ``exp`` is its
        published code's.
    """
    counts = as_counts(class_counts)
    spread = counts.max() - counts.min()
    # Balanced data have no spread: 0/0 is read as 1, the head.
    t = torch.where(spread > 0, (counts - counts.min()) / spread.clamp_min(1), torch.ones_like(counts))
    if shape == "concave":
        rise = torch.sin(pi / 2 * t)
    elif shape == "linear":
        rise = t
    elif shape == "convex":
        rise = 1 - torch.cos(pi / 2 * t)
    else:
        rise = t**power
    return tail + (head - tail) * rise


def smoothed_cross_entropy(logits: Tensor, targets: Tensor, smoothing: Tensor) -> Tensor:
    """Cross entropy with a smoothing of its own for each sample: ``-(1 - ε) log p_y - ε mean_c log p_c``.

    Args:
        logits: ``(N, K)``, fp32 at least.
        targets: ``(N,)``, int64.
        smoothing: ε of each sample, ``(N,)``.

    Returns:
        ``(N,)``.
    """
    log_p = torch.log_softmax(logits, dim=1)
    smoothing = smoothing.to(log_p.dtype)
    of_target = log_p.gather(1, targets.unsqueeze(1)).squeeze(1)
    return (smoothing - 1) * of_target - smoothing * log_p.mean(dim=1)

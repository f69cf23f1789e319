"""Margins: what the target's logit is lowered by before the softmax."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lt_lightning.functional.logits import top_class
from lt_lightning.functional.priors import as_counts


def ldam_margins(class_counts: Sequence[int] | Tensor, max_margin: float) -> Tensor:
    """Margin of each class, proportional to ``n_c^(-1/4)``; the rarest class has ``max_margin``.

    Args:
        class_counts: Training images per class, ``(K,)``, each at least 1.
        max_margin: The largest margin, in units of the logits before scaling.

    Returns:
        ``(K,)``, as :func:`~lt_lightning.functional.priors.as_counts` gives them.

    References:
        Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019;
        the constant is set through the largest margin, as in its published code.
    """
    counts = as_counts(class_counts)
    return max_margin * (counts.min() / counts) ** 0.25


def scale_with_margin(logits: Tensor, targets: Tensor, margins: Tensor, scale: float) -> Tensor:
    """``s (z - margin at the target)``, for a margin of each sample.

    Args:
        logits: ``(N, K)``.
        targets: ``(N,)``, int64.
        margins: Margin of each sample, ``(N,)``, in units of the logits; a constant to the gradient.
        scale: s.

    Returns:
        ``(N, K)``.
    """
    lowered = (-scale * margins).to(logits.dtype).unsqueeze(1)
    return (scale * logits).scatter_add_(1, targets.unsqueeze(1), lowered)


@torch.no_grad()
def elm_margins(logits: Tensor, targets: Tensor, margins: Tensor, lam: float, target_margin: bool = True) -> Tensor:
    """Enlarged margins: ``m_y - λ m_j`` with j the largest logit other than the target's.

    Args:
        logits: ``(N, K)``, K at least 2.
        targets: ``(N,)``, int64.
        margins: Margin of each class, ``(K,)``.
        lam: λ.
        target_margin: Whether the target's own margin ``m_y`` takes part.

    Returns:
        Margin of each sample, ``(N,)``, of the dtype of ``margins``; not differentiated.

    References:
        "Enlarged Large Margin Loss for Imbalanced Classification" (ELM), eq. (6) and (7).
    """
    rivals = top_class(_without_targets(logits, targets))
    enlarged = -lam * margins[rivals]
    return enlarged + margins[targets] if target_margin else enlarged


@torch.no_grad()
def maximum_margins(logits: Tensor, targets: Tensor, bounds: Tensor, gamma: float) -> Tensor:
    """Margins of the samples from their own distance to the decision boundary, d = z_y - max of the other logits.

    ``exp(-d - γ M_y)`` where the target leads (d > 0), ``exp(d - M_y)`` where it trails: largest at the boundary.

    Args:
        logits: ``(N, K)``, K at least 2.
        targets: ``(N,)``, int64.
        bounds: ``M`` of each class, ``(K,)``.
        gamma: γ; above 1 it gives samples that are right already less margin.

    Returns:
        Margin of each sample, ``(N,)``, of the dtype of ``bounds``; not differentiated. It is 0 at d = 0 exactly.

    References:
        Kang et al., "Learning Imbalanced Datasets with Maximum Margin Loss", ICIP 2021. Its code reads every sample's
        d off the first sample's class, and takes 0 for the masked target; here each sample has its own.
    """
    own = logits.gather(1, targets.unsqueeze(1)).squeeze(1)
    distance = (own - _without_targets(logits, targets).amax(dim=1)).to(bounds.dtype)
    bound = bounds[targets]
    margins = torch.exp(-distance.abs() - torch.where(distance > 0, gamma * bound, bound))
    return torch.where(distance == 0, torch.zeros_like(margins), margins)


def _without_targets(logits: Tensor, targets: Tensor) -> Tensor:
    return logits.scatter(1, targets.unsqueeze(1), -torch.inf)

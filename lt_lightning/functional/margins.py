"""Label-distribution-aware margins."""

import torch
from torch import Tensor


def ldam_margins(counts: Tensor, max_margin: float) -> Tensor:
    """Margin of each class, proportional to ``n_c^(-1/4)``; the rarest class has ``max_margin``.

    Args:
        counts: Training images per class, ``(K,)``, floating point, each at least 1.
        max_margin: The largest margin, in units of the logits before scaling.

    Returns:
        ``(K,)``, of the dtype of ``counts``.

    References:
        Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019;
        the constant is set through the largest margin, as in its published code.
    """
    return max_margin * (counts.min() / counts) ** 0.25


def subtract_margins(logits: Tensor, targets: Tensor, margins: Tensor) -> Tensor:
    """Lower each sample's target logit by the margin of its class.

    Args:
        logits: ``(N, K)``.
        targets: ``(N,)``, int64.
        margins: ``(K,)``.

    Returns:
        ``(N, K)``.
    """
    lowered = -margins.to(logits.dtype)[targets]
    return torch.scatter_add(logits, 1, targets.unsqueeze(1), lowered.unsqueeze(1))

"""Losses whose gradient at a sample depends on that sample alone: the samples of all heads as one batch."""

from collections.abc import Hashable

import torch
from torch import Tensor

from lt_lightning.losses import (
    ClassBalancedLoss,
    CrossEntropyLoss,
    ELMLoss,
    FocalLoss,
    HardSelectionLogisticLoss,
    HardSelectionSoftmaxLoss,
    InfluenceBalancedLoss,
    LargeMarginSoftmaxLoss,
    LogisticLoss,
    Loss,
    MaximumMarginLDAMLoss,
    SeesawLoss,
    SoftSelectionLogisticLoss,
)
from lt_lightning.retraining.slopes.base import Slopes, by_head, constants

_LOSSES = (
    ClassBalancedLoss,
    CrossEntropyLoss,
    ELMLoss,
    FocalLoss,
    HardSelectionLogisticLoss,
    HardSelectionSoftmaxLoss,
    InfluenceBalancedLoss,
    LargeMarginSoftmaxLoss,
    LogisticLoss,
    MaximumMarginLDAMLoss,
    SeesawLoss,
    SoftSelectionLogisticLoss,
)


class AutogradSlopes(Slopes):
    """Equal losses without state that are means over samples: one call of the loss itself on N·H rows.

    The (weighted) mean over the rows of all heads is the mean of the H losses, whose targets are the same.
    """

    @staticmethod
    def key(loss: Loss) -> Hashable | None:
        """The constants of the loss."""
        return constants(loss) if type(loss) in _LOSSES and loss.reduction == "mean" else None

    def __call__(self, logits: Tensor, targets: Tensor, features: Tensor) -> tuple[Tensor, float]:
        """Slopes ``(N, H, K)`` by autograd, and H."""
        number, heads, classes = logits.shape
        loss = self.losses[0]
        sizes = None
        if isinstance(loss, InfluenceBalancedLoss):  # uses only the L1 norm of the features
            sizes = by_head(features.abs().sum(dim=1), heads).unsqueeze(1)
        with torch.enable_grad():
            rows = logits.detach().view(number * heads, classes).requires_grad_()
            value = loss(rows, by_head(targets, heads), sizes)
        (slopes,) = torch.autograd.grad(value, rows)
        return slopes.view(logits.shape), float(heads)

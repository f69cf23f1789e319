"""Softmax losses whose margins depend on the logits."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from lt_lightning.functional import scale_with_margin
from lt_lightning.losses import ELMLoss, Loss, MaximumMarginLDAMLoss
from lt_lightning.retraining.slopes.base import Slopes, by_head, constants


class MarginSlopes(Slopes):
    """Equal losses of these kinds, without class weights: a softmax over logits that have the margins, as constants."""

    def __init__(self, losses: Sequence[Loss], like: Tensor) -> None:
        super().__init__(losses, like)
        self.own = [loss for loss in losses if isinstance(loss, (ELMLoss, MaximumMarginLDAMLoss))]

    @staticmethod
    def key(loss: Loss) -> Hashable | None:
        """The constants of the loss."""
        known = type(loss) in (ELMLoss, MaximumMarginLDAMLoss) and loss.reduction == "mean" and loss.weight is None
        return constants(loss) if known else None

    def __call__(self, logits: Tensor, targets: Tensor, features: Tensor) -> tuple[Tensor, float]:  # noqa: ARG002
        """Slopes ``(N, H, K)``, and s/N."""
        loss, shape = self.own[0], logits.shape
        rows, targets = logits.flatten(0, 1), by_head(targets, shape[1])
        rows = scale_with_margin(rows, targets, loss.sample_margins(rows, targets), loss.logit_scale)
        slopes = torch.softmax(rows, dim=1)
        slopes.scatter_add_(1, targets.unsqueeze(1), slopes.new_full((1, 1), -1.0).expand(len(targets), 1))
        return slopes.view(shape), loss.logit_scale / shape[0]

"""Focal softmax losses."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from lt_lightning.functional import wrongness
from lt_lightning.losses import FocalLoss, Loss
from lt_lightning.retraining.slopes.base import Slopes, target_index
from lt_lightning.retraining.slopes.constants import constants


class FocalSlopes(Slopes):
    """Equal losses of this kind, without class weights: cross entropy's slopes, each sample's times a factor."""

    def __init__(self, losses: Sequence[Loss], like: Tensor) -> None:
        super().__init__(losses, like)
        (self.gamma,) = {loss.gamma for loss in losses if isinstance(loss, FocalLoss)}

    @staticmethod
    def key(loss: Loss) -> Hashable | None:
        """The constants of the loss."""
        known = type(loss) is FocalLoss and loss.reduction == "mean" and loss.weight is None
        return constants(loss) if known else None

    def __call__(self, logits: Tensor, targets: Tensor, features: Tensor) -> tuple[Tensor, float]:  # noqa: ARG002
        """Slopes ``(N, H, K)``, and 1/N."""
        index = target_index(logits, targets)
        slopes = torch.log_softmax(logits, dim=2)
        losses = -slopes.gather(2, index)
        wrong = wrongness(losses).clamp_min_(torch.finfo(losses.dtype).tiny)
        # d/dl of (1 - e^-l)^γ l is (1 - p)^(γ - 1) (1 - p + γ p l), with p = e^-l.
        factor = wrong.pow(self.gamma - 1).mul_(wrong.addcmul(1 - wrong, losses, value=self.gamma))
        slopes.exp_().scatter_(2, index, -wrong)
        return slopes.mul_(factor), 1 / len(logits)

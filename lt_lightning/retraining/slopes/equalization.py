"""Equalization loss v2, with each head's own sums of gradients."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from lt_lightning.functional import equalization_weights
from lt_lightning.losses import EqualizationLossV2, Loss
from lt_lightning.retraining.slopes.base import Slopes, constants, target_index


class EqualizationSlopes(Slopes):
    """Equal losses of this kind, without class weights: sigmoids, weighted as :func:`equalization_weights` says."""

    def __init__(self, losses: Sequence[Loss], like: Tensor) -> None:
        super().__init__(losses, like)
        self.own = [loss for loss in losses if isinstance(loss, EqualizationLossV2)]
        self.positive = torch.stack([loss.positive_gradients for loss in self.own])
        self.negative = torch.stack([loss.negative_gradients for loss in self.own])

    @staticmethod
    def key(loss: Loss) -> Hashable | None:
        """The constants of the loss and its sums so far."""
        known = type(loss) is EqualizationLossV2 and loss.reduction == "mean" and loss.weight is None
        return constants(loss) if known else None

    def __call__(self, logits: Tensor, targets: Tensor, features: Tensor) -> tuple[Tensor, float]:  # noqa: ARG002
        """Slopes ``(N, H, K)`` and 1/N; the gradients of the batch are added to the sums."""
        index = target_index(logits, targets)
        loss = self.own[0]
        weights = equalization_weights(self.positive, self.negative, loss.gamma, loss.mu, loss.alpha)
        as_positive, as_negative = (weight.to(logits.dtype) for weight in weights)
        slopes = logits.sigmoid().mul_(as_negative).scatter_(2, index, 0.0)
        own = torch.sigmoid(-logits.gather(2, index)).squeeze(2).mul_(as_positive[:, targets].t())
        self.negative += slopes.sum(dim=0)
        self.positive += torch.zeros_like(as_positive).index_add_(1, targets, own.t())
        return slopes.scatter_(2, index, own.neg_().unsqueeze(2)), 1 / len(logits)

    def write_back(self) -> None:
        """Give each loss its sums of gradients."""
        for loss, positive, negative in zip(self.own, self.positive, self.negative, strict=True):
            loss.positive_gradients.copy_(positive)
            loss.negative_gradients.copy_(negative)

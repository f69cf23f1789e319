"""Heads that move stage 1's logits as far as an image's confidence says."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lt_lightning.heads import DisAlignHead, Head
from lt_lightning.retraining.stacks.base import HeadStack, Pull
from lt_lightning.retraining.stacks.frozen import FrozenLogits


class DisAlignStack(HeadStack):
    """Lines per class, and a confidence per image, over stage 1's logits."""

    takes = (DisAlignHead,)

    def __init__(self, heads: Sequence[Head], momentum: float) -> None:
        super().__init__(heads, momentum)
        self.frozen = FrozenLogits(self)

    @staticmethod
    def names(head: Head) -> list[str]:  # noqa: ARG004
        """Slope and offset of the lines, and the unit that gives the confidence."""
        return ["scales", "offsets", "confidence.weight", "confidence.bias"]

    def forward(self, features: Tensor) -> tuple[Tensor, Pull]:
        """Logits ``z + σ ((a - 1) z + b)``, ``(N, H, K)``."""
        scales, offsets, weight, bias = self.values
        logits = self.frozen(features)
        moves = torch.addcmul(offsets, logits, scales - 1)
        confidence = torch.addmm(bias.flatten(), features, weight.flatten(0, 1).t()).sigmoid_().unsqueeze(2)

        def pull(slopes: Tensor, share: float) -> None:
            by_unit = (slopes * moves).sum(dim=2).mul_((confidence * (1 - confidence)).squeeze(2))
            by_offset = slopes.mul_(confidence)
            offset_gradient = by_offset.sum(dim=0)
            gradients = (
                by_offset.mul_(logits).sum(dim=0),
                offset_gradient,
                (by_unit.t() @ features).unsqueeze(1),
                by_unit.sum(dim=0).unsqueeze(1),
            )
            for velocity, gradient in zip(self.velocities, gradients, strict=True):
                velocity.mul_(self.momentum).add_(gradient, alpha=share)

        return torch.addcmul(logits, confidence, moves), pull

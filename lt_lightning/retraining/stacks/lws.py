"""Heads that train one factor per class."""

from collections.abc import Sequence

from torch import Tensor

from lt_lightning.heads import Head, LWSHead
from lt_lightning.retraining.stacks.base import HeadStack, Pull
from lt_lightning.retraining.stacks.frozen import FrozenLogits


class LWSStack(HeadStack):
    """Factors over stage 1's logits."""

    takes = (LWSHead,)

    def __init__(self, heads: Sequence[Head], momentum: float) -> None:
        super().__init__(heads, momentum)
        self.frozen = FrozenLogits(self)

    @staticmethod
    def names(head: Head) -> list[str]:  # noqa: ARG004
        """The factors."""
        return ["scales"]

    def forward(self, features: Tensor) -> tuple[Tensor, Pull]:
        """Logits ``(Wx + b) · f``, ``(N, H, K)``."""
        logits = self.frozen(features)

        def pull(slopes: Tensor, share: float) -> None:
            self.velocities[0].mul_(self.momentum).add_(slopes.mul_(logits).sum(dim=0), alpha=share)

        return logits * self.values[0], pull

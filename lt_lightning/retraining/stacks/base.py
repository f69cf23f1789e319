"""The contract of every stack of heads."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from lt_lightning.heads import Head

Pull = Callable[[Tensor, float], None]
"""Takes slopes, ``(N, H, K)``, which it may overwrite, and what they are to be multiplied by; moves the velocities."""


class HeadStack(ABC):
    """Base of H heads of one kind and shape, in training.

    Args:
        heads: Of the classes in :attr:`takes`.
        momentum: Of all of them.

    Attributes:
        values: What trains, one tensor for each of :meth:`names`, ``(H, ...)``.
        velocities: Of ``values``, from 0.
    """

    takes: ClassVar[tuple[type[Head], ...]]
    """Classes of heads that may share a stack."""

    def __init__(self, heads: Sequence[Head], momentum: float) -> None:
        self.heads = list(heads)
        self.momentum = momentum
        self.values = [self.stacked(name) for name in self.names(self.heads[0])]
        self.velocities = [torch.zeros_like(value) for value in self.values]

    @staticmethod
    @abstractmethod
    def names(head: Head) -> list[str]:
        """Names of the parameters that train; no others may."""

    @abstractmethod
    def forward(self, features: Tensor) -> tuple[Tensor, Pull]:
        """Logits of a batch, ``(N, D)`` to ``(N, H, K)``, contiguous, and how their slopes move the velocities."""

    def stacked(self, name: str) -> Tensor:
        """A parameter of all heads, ``(H, ...)``."""
        return torch.stack([head.get_parameter(name).detach() for head in self.heads])

    def project(self, at_step: bool) -> None:  # noqa: B027  # a hook
        """Put parameters back where they are allowed to be, after a step or else after an epoch."""

    def write_back(self) -> None:
        """Give each head what it has learnt."""
        for name, values in zip(self.names(self.heads[0]), self.values, strict=True):
            for head, value in zip(self.heads, values, strict=True):
                head.get_parameter(name).copy_(value)

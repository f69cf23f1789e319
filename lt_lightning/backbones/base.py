"""The contract of every backbone."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Backbone(nn.Module, ABC):
    """Base of all feature extractors."""

    num_features: int
    """Length D of a feature vector."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Features of images: ``(N, C, H, W)`` to ``(N, D)``."""

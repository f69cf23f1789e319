"""The contract of every backbone."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from lt_lightning.errors import UsageError


class Backbone(nn.Module, ABC):
    """Base of all feature extractors."""

    num_features: int
    """Length D of a feature vector."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Features of images: ``(N, C, H, W)`` to ``(N, D)``."""


def features_of(backbone: nn.Module, images: Tensor) -> Tensor:
    """Pass images through a backbone.

    Raises:
        UsageError: If its first convolution takes another number of channels than they have.
    """
    try:
        features: Tensor = backbone(images)
    except RuntimeError as error:  # asked afterwards, so that no image waits for it
        first = next((layer for layer in backbone.modules() if isinstance(layer, nn.Conv2d)), None)
        if first is None or images.ndim != 4 or first.in_channels == images.shape[1]:
            raise
        raise UsageError(
            f"`backbone` {type(backbone).__name__} takes images of {first.in_channels} channel(s), but the data's have "
            f"{images.shape[1]}; choose a backbone for these, by `in_channels` where it has that."
        ) from error
    return features

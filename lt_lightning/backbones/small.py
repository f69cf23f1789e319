"""A convolutional network small enough for 8×8 digits on a laptop."""

import torch
from torch import Tensor, nn

from lt_lightning.backbones.base import Backbone


class SmallCNN(Backbone):
    """Three 3×3 convolutions with batch normalisation, global average pooling; ours, for digits and tests.

    Args:
        num_features: Length D of a feature vector, and channels of the last convolution.
        in_channels: Channels of an image.
    """

    def __init__(self, num_features: int = 64, in_channels: int = 1) -> None:
        super().__init__()
        self.num_features = num_features
        self.layers = nn.Sequential(
            *_block(in_channels, num_features // 2),
            *_block(num_features // 2, num_features),
            nn.MaxPool2d(2),
            *_block(num_features, num_features),
            nn.AdaptiveAvgPool2d(1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, D)``."""
        return torch.flatten(self.layers(images), 1)


def _block(in_channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(out_channels), nn.ReLU()

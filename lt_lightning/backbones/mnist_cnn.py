"""LGL-INR's two networks for images of MNIST's kind (its Table 2), without their last linear layer.

The table lists layers alone. That nothing is padded follows from its sizes (800 features; 7×7 maps before CNN5C's last
pool). Our reading: a ReLU after each convolution, behind the normalisation where there is one; convolutions before a
normalisation have no bias, which it would remove.
"""

import torch
from torch import Tensor, nn

from lt_lightning.backbones.base import Backbone
from lt_lightning.errors import UsageError


class CNN2C(Backbone):
    """Two 5×5 convolutions of 20 and 50 channels, each followed by 2×2 max-pooling: 800 features of a 28×28 image.

    Args:
        in_channels: Channels of an image.
        image_size: Height and width of an image in pixels; the features are its last maps, flattened.

    Raises:
        UsageError: If ``image_size`` leaves nothing to pool; in ``forward``, if images have another size.

    References:
        Li et al., "On the Learning Property of Logistic and Softmax Losses for Deep Neural Networks", AAAI 2020.
    """

    def __init__(self, in_channels: int = 1, image_size: int = 28) -> None:
        super().__init__()
        _check_size(image_size)
        last = ((image_size - 4) // 2 - 4) // 2
        self.image_size = image_size
        self.num_features = 50 * last**2
        self.layers = nn.Sequential(
            *_block(in_channels, 20, 5, norm=False),
            nn.MaxPool2d(2),
            *_block(20, 50, 5, norm=False),
            nn.MaxPool2d(2),
        )

    def forward(self, images: Tensor) -> Tensor:
        """``(N, C, image_size, image_size)`` to ``(N, D)``."""
        if images.shape[2:] != (self.image_size, self.image_size):
            height, width = images.shape[2:]
            raise UsageError(
                f"`image_size` of `CNN2C` is {self.image_size}, but an image has {height}×{width} pixels; set it to "
                f"the size of the data's square images."
            )
        return torch.flatten(self.layers(images), 1)


class CNN5C(Backbone):
    """Five 3×3 convolutions of 32, 64, 128, 256 and 512 channels, ending in the maximum of each map: 512 features.

    The last pool is printed as 8×8 with stride 1, which the 7×7 maps of a 28×28 image do not allow; it is read as the
    maximum over the whole map, as the 512 inputs of the printed classifier ask for.

    Args:
        in_channels: Channels of an image, which must have 16×16 pixels at least.

    References:
        Li et al., "On the Learning Property of Logistic and Softmax Losses for Deep Neural Networks", AAAI 2020.
    """

    num_features = 512

    def __init__(self, in_channels: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_block(in_channels, 32, 3),
            *_block(32, 64, 3),
            *_block(64, 128, 3, norm=False),
            nn.MaxPool2d(2),
            *_block(128, 256, 3),
            *_block(256, 512, 3, norm=False),
            nn.AdaptiveMaxPool2d(1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, 512)``."""
        _check_size(min(images.shape[2:]))
        return torch.flatten(self.layers(images), 1)


def _block(in_channels: int, out_channels: int, kernel: int, norm: bool = True) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(in_channels, out_channels, kernel, bias=not norm)
    return (convolution, nn.BatchNorm2d(out_channels), nn.ReLU()) if norm else (convolution, nn.ReLU())


def _check_size(pixels: int) -> None:
    # Both networks end in 1×1 maps at 16 pixels.
    if pixels < 16:
        raise UsageError(f"`image_size` must be at least 16 pixels, but got {pixels}; take `SmallCNN` for such images.")

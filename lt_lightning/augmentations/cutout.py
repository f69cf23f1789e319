"""Cutout (DeVries and Taylor 2017)."""

import torch
from torch import Tensor

from lt_lightning.augmentations.base import Augmentation, check_fill, host_generator
from lt_lightning.errors import UsageError


class Cutout(Augmentation):
    """Blank a square in each image; its centre lies anywhere in the image, so a part of it may lie outside.

    Args:
        length: Side of the square, in pixels; 16 for CIFAR-10 in the paper and in the code of PaCo, BCL and others on
            CIFAR-LT, 8 for CIFAR-100 in the paper.
        fill: Value of the pixels blanked, 0 to 255. Black by default, as in that code, which cuts before it
            normalises; the paper cuts afterwards, which leaves the data's mean colour, for CIFAR about 120.

    Raises:
        UsageError: If ``length`` is below 1 or ``fill`` is no value of a pixel.

    References:
        DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.
    """

    def __init__(self, length: int = 16, fill: int = 0) -> None:
        if length < 1:
            raise UsageError(f"`length` of `Cutout` must be at least 1, but got {length}.")
        check_fill(fill, "Cutout")
        self.length = length
        self.fill = fill

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Blank a square of each image."""
        height, width = images.shape[-2:]
        host = host_generator(generator)
        rows = self._span(torch.randint(height, (len(images),), generator=host), height)
        columns = self._span(torch.randint(width, (len(images),), generator=host), width)
        inside = (rows[:, None, :, None] & columns[:, None, None, :]).to(images.device, non_blocking=True)
        return images.masked_fill(inside, self.fill)

    def _span(self, centres: Tensor, size: int) -> Tensor:
        """Which of ``size`` places each square covers, ``(B, size)``."""
        first = centres[:, None] - self.length // 2
        last = centres[:, None] + (self.length + 1) // 2  # the paper's code takes even lengths alone
        places = torch.arange(size)
        return (places >= first) & (places < last)

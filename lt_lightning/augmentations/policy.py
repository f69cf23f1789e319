"""What policies have in common: operations drawn per image, with magnitudes from tables."""

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from lt_lightning.augmentations.base import Augmentation, check_fill, host_generator
from lt_lightning.augmentations.operations import CODES, OPERATIONS, SIGNED, Operation, apply

Table = Mapping[Operation, Tensor]
"""Magnitudes of each operation, ``(bins,)``, from the weakest; operations without a magnitude have zeros."""


class DrawnOperations(Augmentation):
    """Base of augmentations that apply drawn operations one after another.

    Args:
        fill: Value of pixels that a warp takes from outside the image, 0 (black) to 255.

    Raises:
        UsageError: If ``fill`` is no value of a pixel.
    """

    def __init__(self, fill: int) -> None:
        check_fill(fill, type(self).__name__)
        self.fill = fill

    @abstractmethod
    def draw(self, count: int, height: int, width: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Draw what happens to each image.

        Args:
            count: Number of images.
            height: Of the images, in pixels.
            width: Likewise.
            generator: Source of the draws, on the CPU; ``None`` uses the default one.

        Returns:
            Operations ``(steps, count)`` as numbers of ``OPERATIONS``, int64, and magnitudes ``(steps, count)``,
            float64, as :func:`apply` takes them; on the CPU.
        """

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw operations for each image and apply them."""
        count, _, height, width = images.shape
        codes, magnitudes = self.draw(count, height, width, host_generator(generator))
        for step in range(len(codes)):
            images = apply(images, codes[step], magnitudes[step], self.fill)
        return images


def moderate_space(bins: int, height: int, width: int) -> dict[Operation, Tensor]:
    """Magnitudes as AutoAugment and RandAugment use them (Cubuk et al. 2019, table 6; as torchvision rounds them).

    Args:
        bins: Number of magnitudes, at least 2.
        height: Of the images, in pixels, of which the longest translation is 150 / 331.
        width: Likewise.
    """
    none = torch.zeros(bins, dtype=torch.float64)
    color = _line(0, 0.9, bins)
    return {
        "identity": none,
        "shear_x": _line(0, 0.3, bins),
        "shear_y": _line(0, 0.3, bins),
        "translate_x": _line(0, 150 / 331 * width, bins),
        "translate_y": _line(0, 150 / 331 * height, bins),
        "rotate": _line(0, 30, bins),
        "brightness": color,
        "color": color,
        "contrast": color,
        "sharpness": color,
        "posterize": bits(4, bins),
        "solarize": _line(1, 0, bins),
        "autocontrast": none,
        "equalize": none,
        "invert": none,
    }


def wide_space(bins: int) -> dict[Operation, Tensor]:
    """Magnitudes of TrivialAugment's wide space (Müller and Hutter 2021, table 7; as torchvision rounds them).

    Args:
        bins: Number of magnitudes, at least 2.
    """
    none, color = torch.zeros(bins, dtype=torch.float64), _line(0, 0.99, bins)
    return {
        "identity": none,
        "shear_x": color,
        "shear_y": color,
        "translate_x": _line(0, 32, bins),
        "translate_y": _line(0, 32, bins),
        "rotate": _line(0, 135, bins),
        "brightness": color,
        "color": color,
        "contrast": color,
        "sharpness": color,
        "posterize": bits(6, bins),
        "solarize": _line(1, 0, bins),
        "autocontrast": none,
        "equalize": none,
    }


def bits(lost: int, bins: int) -> Tensor:
    """Bits that posterising keeps: from 8 down to 8 less ``lost``, ``(bins,)``, float64."""
    return (8 - torch.arange(bins) / ((bins - 1) / lost)).round().double()


def look_up(space: Table) -> tuple[Tensor, Tensor]:
    """A space as tensors to be indexed by the numbers of operations.

    Returns:
        Magnitudes ``(operations, bins)``, float64, rows of operations that the space lacks being zero; and whether an
        operation's magnitude has a sign, ``(operations,)``.
    """
    bins = len(next(iter(space.values())))
    table = torch.zeros(len(OPERATIONS), bins, dtype=torch.float64)
    for name, magnitudes in space.items():
        table[CODES[name]] = magnitudes
    return table, torch.tensor([name in SIGNED for name in OPERATIONS])


def with_signs(magnitudes: Tensor, signed: Tensor, coins: Tensor) -> Tensor:
    """Turn the signs of those magnitudes that have one and whose coin, uniform in [0, 1), falls below a half."""
    return torch.where(signed & (coins < 0.5), -magnitudes, magnitudes)


def _line(first: float, last: float, bins: int) -> Tensor:
    return torch.linspace(first, last, bins).double()  # drawn up in fp32, as torchvision does

"""RandAugment (Cubuk et al. 2020)."""

import torch
from torch import Tensor

from lt_lightning.augmentations.operations import CODES
from lt_lightning.augmentations.policy import DrawnOperations, look_up, moderate_space, with_signs
from lt_lightning.errors import UsageError

_BINS = 31


class RandAugment(DrawnOperations):
    """Several operations for each image, all of one strength.

    Operations, magnitudes and signs follow torchvision's ``RandAugment``.

    Args:
        operations: Operations for each image, one after another; 2 as in torchvision.
        magnitude: Strength of all of them, from 0 to 30; 9 as in torchvision.
        fill: Value of pixels that a warp takes from outside the image, 0 to 255; 0 in torchvision.

    Raises:
        UsageError: If a value is out of range.

    References:
        Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space", 2020.
    """

    def __init__(self, operations: int = 2, magnitude: int = 9, fill: int = 0) -> None:
        super().__init__(fill)
        if operations < 1:
            raise UsageError(f"`operations` of `RandAugment` must be at least 1, but got {operations}.")
        if not 0 <= magnitude < _BINS:
            raise UsageError(f"`magnitude` of `RandAugment` must lie in [0, {_BINS - 1}], but got {magnitude}.")
        self.operations = operations
        self.magnitude = magnitude

    def draw(self, count: int, height: int, width: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Operations and their signs for each image."""
        space = moderate_space(_BINS, height, width)
        choices = torch.tensor([CODES[name] for name in space if name != "invert"])
        codes = choices[torch.randint(len(choices), (self.operations, count), generator=generator)]
        signs = torch.rand(self.operations, count, generator=generator)
        table, signed = look_up(space)
        return codes, with_signs(table[codes, self.magnitude], signed[codes], signs)

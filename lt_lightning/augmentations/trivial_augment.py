"""TrivialAugment (Müller and Hutter 2021)."""

import torch
from torch import Tensor

from lt_lightning.augmentations.operations import CODES
from lt_lightning.augmentations.policy import DrawnOperations, look_up, wide_space, with_signs

_BINS = 31


class TrivialAugment(DrawnOperations):
    """One operation for each image, of a strength drawn from the wide space; there is nothing to tune.

    Operations, magnitudes and signs follow torchvision's ``TrivialAugmentWide``.

    Args:
        fill: Value of pixels that a warp takes from outside the image, 0 to 255; 0 in torchvision.

    Raises:
        UsageError: If ``fill`` is no value of a pixel.

    References:
        Müller and Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", ICCV 2021.
    """

    def __init__(self, fill: int = 0) -> None:
        super().__init__(fill)
        space = wide_space(_BINS)
        self._choices = torch.tensor([CODES[name] for name in space])
        self._table, self._signed = look_up(space)

    def draw(self, count: int, height: int, width: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """An operation, a strength and a sign for each image."""
        codes = self._choices[torch.randint(len(self._choices), (1, count), generator=generator)]
        bins = torch.randint(_BINS, (1, count), generator=generator)
        signs = torch.rand(1, count, generator=generator)
        return codes, with_signs(self._table[codes, bins], self._signed[codes], signs)

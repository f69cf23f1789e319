"""Colour jitter, as trainings on large images have it."""

from math import inf

import torch
from torch import Tensor

from lt_lightning.augmentations.operations import CODES, Operation
from lt_lightning.augmentations.policy import DrawnOperations
from lt_lightning.errors import UsageError


class ColorJitter(DrawnOperations):
    """Change brightness, contrast and saturation of each image by random factors, in random order.

    The law is that of torchvision's ``ColorJitter``: a factor is uniform in ``[max(0, 1 - strength), 1 + strength]``.

    Args:
        brightness: Strength; 0 leaves it as it is.
        contrast: Likewise.
        saturation: Likewise. 0.4 for all three is Kang et al.'s 2020, for ImageNet-LT.

    Raises:
        UsageError: If a strength is negative, infinite or no number.
    """

    def __init__(self, brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4) -> None:
        super().__init__(fill=0)
        for name, value in (("brightness", brightness), ("contrast", contrast), ("saturation", saturation)):
            if not 0 <= value < inf:
                raise UsageError(f"`{name}` of `ColorJitter` must be a number of at least 0, but got {value}.")
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation

    @property
    def changes(self) -> bool:
        """Whether a strength is above 0."""
        return bool(self._strengths())

    def _strengths(self) -> dict[int, float]:
        found: dict[Operation, float] = {
            "brightness": self.brightness,
            "contrast": self.contrast,
            "color": self.saturation,
        }
        return {CODES[name]: value for name, value in found.items() if value}

    def draw(self, count: int, height: int, width: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Order and factors for each image."""
        strengths = self._strengths()
        order = torch.rand(len(strengths), count, generator=generator).argsort(dim=0)
        codes = torch.tensor(list(strengths), dtype=torch.int64)[order]
        high = torch.tensor(list(strengths.values()), dtype=torch.float64)[order]
        low = -high.clamp(max=1)
        drawn = torch.rand(len(strengths), count, dtype=torch.float64, generator=generator)
        return codes, low + (high - low) * drawn

"""AutoAugment (Cubuk et al. 2019) with the policy learnt on CIFAR-10."""

import torch
from torch import Tensor

from lt_lightning.augmentations.operations import CODES, Operation
from lt_lightning.augmentations.policy import DrawnOperations, look_up, moderate_space, with_signs

_BINS = 10

# One line for each sub-policy: twice an operation, its probability, its magnitude from 0 to 9 (Cubuk et al., table 7).
_CIFAR10 = """
invert 0.1 7; contrast 0.2 6
rotate 0.7 2; translate_x 0.3 9
sharpness 0.8 1; sharpness 0.9 3
shear_y 0.5 8; translate_y 0.7 9
autocontrast 0.5 8; equalize 0.9 2
shear_y 0.2 7; posterize 0.3 7
color 0.4 3; brightness 0.6 7
sharpness 0.3 9; brightness 0.7 9
equalize 0.6 5; equalize 0.5 1
contrast 0.6 7; sharpness 0.6 5
color 0.7 7; translate_x 0.5 8
equalize 0.3 7; autocontrast 0.4 8
translate_y 0.4 3; sharpness 0.2 6
brightness 0.9 6; color 0.2 8
solarize 0.5 2; invert 0.0 3
equalize 0.2 0; autocontrast 0.6 0
equalize 0.2 8; equalize 0.6 4
color 0.9 9; equalize 0.6 6
autocontrast 0.8 4; solarize 0.2 8
brightness 0.1 3; color 0.7 0
solarize 0.4 5; autocontrast 0.9 3
translate_y 0.9 9; translate_y 0.7 9
autocontrast 0.9 2; solarize 0.8 3
equalize 0.8 8; invert 0.1 3
translate_y 0.7 9; autocontrast 0.9 1
"""

Part = tuple[Operation, float, int]


def _read(text: str) -> tuple[tuple[Part, Part], ...]:
    by_name: dict[str, Operation] = {str(name): name for name in CODES}

    def part(words: str) -> Part:
        name, probability, magnitude = words.split()
        return by_name[name], float(probability), int(magnitude)

    lines = (line.split(";") for line in text.strip().splitlines())
    return tuple((part(first), part(second)) for first, second in lines)


CIFAR10_POLICY = _read(_CIFAR10)


class AutoAugment(DrawnOperations):
    """One of 25 learnt pairs of operations for each image; each operation happens with its own probability.

    The policy is the one learnt on CIFAR-10, which CIFAR-100 gets too, in the paper and in the code of PaCo, BCL and
    others on CIFAR-LT. Probabilities, magnitudes and signs follow torchvision's ``AutoAugment(CIFAR10)``.

    Args:
        fill: Value of pixels that a warp takes from outside the image, 0 to 255. 128, a grey, in the code just named;
            0 in torchvision.

    Raises:
        UsageError: If ``fill`` is no value of a pixel.

    References:
        Cubuk et al., "AutoAugment: Learning Augmentation Strategies from Data", CVPR 2019.
    """

    def __init__(self, fill: int = 128) -> None:
        super().__init__(fill)
        self._codes = torch.tensor([[CODES[name] for name, _, _ in pair] for pair in CIFAR10_POLICY])
        self._chances = torch.tensor([[chance for _, chance, _ in pair] for pair in CIFAR10_POLICY])
        self._bins = torch.tensor([[place for _, _, place in pair] for pair in CIFAR10_POLICY])

    def draw(self, count: int, height: int, width: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """A sub-policy for each image, then coins for whether its two operations happen, and for their signs."""
        pairs = torch.randint(len(CIFAR10_POLICY), (count,), generator=generator)
        happens, signs = torch.rand(2, 2, count, generator=generator)
        drawn = self._codes[pairs].T
        codes = torch.where(happens < self._chances[pairs].T, drawn, CODES["identity"])
        table, signed = look_up(moderate_space(_BINS, height, width))
        return codes, with_signs(table[drawn, self._bins[pairs].T], signed[drawn], signs)

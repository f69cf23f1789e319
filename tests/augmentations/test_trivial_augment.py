"""TrivialAugment: the law of its draws."""

import pytest
import torch
from torchvision.transforms import v2

from lt_lightning.augmentations import TrivialAugment
from lt_lightning.augmentations.operations import CODES


def test_operations_and_strengths_are_equally_likely():
    codes, magnitudes = TrivialAugment().draw(40_000, 32, 32, torch.Generator().manual_seed(0))
    assert codes.shape == (1, 40_000)
    shares = torch.bincount(codes[0]).double() / 40_000
    choices = len(v2.TrivialAugmentWide._AUGMENTATION_SPACE)
    assert int((shares > 0).sum()) == choices == 14
    assert shares[shares > 0].tolist() == pytest.approx([1 / 14] * 14, abs=0.006)
    turned = magnitudes[codes == CODES["rotate"]]
    assert len(turned.unique()) == 61
    assert turned.abs().max() == 135
    assert float((turned < 0).double().mean()) == pytest.approx(30 / 31 / 2, abs=0.04)

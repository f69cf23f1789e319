"""RandAugment: the law of its draws."""

import pytest
import torch
from torchvision.transforms import v2

from lt_lightning.augmentations import RandAugment
from lt_lightning.augmentations.operations import CODES
from lt_lightning.errors import UsageError


def test_operations_are_equally_likely_and_of_one_strength():
    codes, magnitudes = RandAugment(3, 30).draw(15_000, 32, 32, torch.Generator().manual_seed(0))
    assert codes.shape == (3, 15_000)
    shares = torch.bincount(codes.flatten(), minlength=15).double() / 45_000
    assert len(v2.RandAugment._AUGMENTATION_SPACE) == 14
    assert shares.tolist() == pytest.approx([1 / 14] * 14 + [0], abs=0.006)
    assert set(magnitudes[codes == CODES["rotate"]].tolist()) == {-30, 30}
    assert float((codes[0] == codes[1]).double().mean()) == pytest.approx(1 / 14, abs=0.01)


@pytest.mark.parametrize(("argument", "value"), [("operations", 0), ("magnitude", -1), ("magnitude", 31)])
def test_values_out_of_range(argument, value):
    with pytest.raises(UsageError, match=rf"`{argument}` of `RandAugment` must .*, but got {value}\."):
        RandAugment(**{argument: value})

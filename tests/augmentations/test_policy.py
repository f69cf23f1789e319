"""Magnitudes, against the tables of torchvision."""

import pytest
import torch
from torchvision.transforms import v2

from lt_lightning.augmentations.operations import CODES, OPERATIONS, SIGNED
from lt_lightning.augmentations.policy import look_up, moderate_space, wide_space, with_signs


@pytest.mark.parametrize(
    ("ours", "theirs", "bins"),
    [
        (moderate_space(10, 32, 28), v2.AutoAugment, 10),
        (moderate_space(31, 32, 28), v2.RandAugment, 31),
        (wide_space(31), v2.TrivialAugmentWide, 31),
    ],
)
def test_tables_are_torchvisions(ours, theirs, bins):
    spelt = {name.replace("_", ""): name for name in ours}
    assert {name.lower() for name in theirs._AUGMENTATION_SPACE} <= set(spelt)
    for name, (make, signed) in theirs._AUGMENTATION_SPACE.items():
        ours_name = spelt[name.lower()]
        expected = make(bins, 32, 28)
        expected = torch.zeros(bins) if expected is None else expected
        assert torch.equal(ours[ours_name], expected.double()), name
        assert (ours_name in SIGNED) == signed


def test_tables_are_looked_up_by_number():
    table, signed = look_up(wide_space(31))
    assert table.shape == (len(OPERATIONS), 31)
    assert table[CODES["rotate"], 30] == 135
    assert table[CODES["invert"]].abs().sum() == 0
    assert [OPERATIONS[code] for code in signed.nonzero().flatten()] == [name for name in OPERATIONS if name in SIGNED]


def test_signs():
    found = with_signs(torch.ones(4), torch.tensor([True, True, False, False]), torch.tensor([0.4, 0.6, 0.4, 0.6]))
    assert found.tolist() == [-1, 1, 1, 1]

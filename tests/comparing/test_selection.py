"""Which validation images count as unseen."""

import math

import pytest

from lt_lightning.comparing.selection import choose, may_select, memorised

SAME, OTHER = {"hashes": {"train": "a"}}, {"hashes": {"train": "b"}}


@pytest.mark.parametrize(
    ("val_from", "foreign", "same", "other"),
    [
        ("source", True, True, True),
        ("unused", True, True, False),
        ("pool", False, True, False),
        ("train", False, True, False),
        (None, False, True, False),
    ],
)
def test_as_a_matter_of_record(val_from, foreign, same, other):
    here = {"val_from": val_from, **SAME}
    for record, expected in (({}, foreign), (SAME, same), (OTHER, other)):
        found = may_select(True, here, record, asserted=False)
        assert found.allowed is expected
        assert found.label == ("val" if expected else "unselected")
        assert expected or "`unseen: true`" in found.reason
        assert may_select(True, here, record, asserted=True).allowed
        assert not may_select(False, here, record, asserted=True).allowed


def test_without_hashes_nothing_is_recorded():
    assert not may_select(True, {"val_from": "train"}, {"hashes": {}}, asserted=False).allowed


def test_the_first_of_the_best_is_chosen():
    nan = float("nan")
    assert choose([nan, 0.3, 0.5, 0.5]) == 2
    assert choose([0.5, nan]) == 0
    assert choose([nan, nan]) is None
    assert choose([]) is None


def test_memorised_images_are_noticed():
    assert memorised(0.4, 0.8) is None
    assert memorised(math.nan, 0.8) is None
    assert "(75.3 %) than on training images (75.3 %)" in memorised(0.753, 0.753)


def test_a_split_of_ones_own_is_called_so():
    assert "validation images (a split of one's own); give" in may_select(True, {}, {}, asserted=False).reason
    assert "validation images (a split of one's own) unseen" in may_select(True, SAME, SAME, asserted=False).reason
    assert '(`data.val_from` "train"); give' in may_select(True, {"val_from": "train"}, {}, asserted=False).reason

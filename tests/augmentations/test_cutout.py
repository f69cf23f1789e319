"""Cutout: what is cut, and how often."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.augmentations import Cutout
from lt_lightning.errors import UsageError


@given(length=st.integers(1, 40), seed=st.integers(0, 2**16), height=st.integers(1, 20), width=st.integers(1, 20))
@settings(max_examples=20)
def test_a_square_is_cut_where_it_lies_in_the_image(length, seed, height, width):
    images = torch.full((30, 2, height, width), 9, dtype=torch.uint8)
    found = Cutout(length, fill=3)(images, torch.Generator().manual_seed(seed))
    cut = found == 3
    assert torch.equal(cut[:, 0], cut[:, 1])
    rows, columns = cut[:, 0].any(2), cut[:, 0].any(1)
    assert torch.equal(cut[:, 0], rows[:, :, None] & columns[:, None, :])
    for side, size in ((rows, height), (columns, width)):
        lengths = side.sum(1)
        assert lengths.min() >= min(size, (length + 1) // 2)
        assert lengths.max() <= min(size, length)
        # One run, and shorter than the square only at an edge.
        assert ((side.int().diff(dim=1) == 1).sum(1) + side[:, 0].int() == 1).all()
        assert ((lengths == length) | side[:, 0] | side[:, -1]).all()


def test_centres_lie_everywhere_alike():
    images = torch.full((30_000, 1, 6, 6), 255, dtype=torch.uint8)
    found = Cutout(1)(images, torch.Generator().manual_seed(0))
    shares = (found == 0).double().mean(0).flatten()
    assert shares.tolist() == pytest.approx([1 / 36] * 36, abs=0.005)


def test_a_square_has_a_length():
    with pytest.raises(UsageError, match="`length` of `Cutout` must be at least 1, but got 0"):
        Cutout(0)

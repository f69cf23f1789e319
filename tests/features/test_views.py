import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.errors import UsageError
from lt_lightning.features import Features
from lt_lightning.features.views import BLOCK, Layout, check_views


def made(views, asked, images=50, seed=0):
    values = torch.arange(views * images * 2, dtype=torch.float32).view(views, images, 2)
    return Features(values, torch.zeros(images, dtype=torch.int64), asked, seed)


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(1, 3 * BLOCK), st.integers(1, 5))
def test_blocks_cover_every_byte_once(views, images, features):
    layout = Layout(views, images, features, torch.float16)
    end = 0
    for block in layout.blocks():
        start, size = layout.place(block)
        assert start == end
        end += size
    assert end == layout.nbytes == views * images * features * 2


def test_drawn_views_take_turns():
    features = made(3, 3)
    for epoch in range(7):
        assert features.shown(epoch).unique().tolist() == [epoch % 3]


def test_of_all_views_each_image_draws_its_own():
    features = made(18, "all", images=2000)
    first, again, next_epoch = features.shown(4), features.shown(4), features.shown(5)
    assert torch.equal(first, again)
    assert not torch.equal(first, next_epoch)
    assert not torch.equal(first, made(18, "all", images=2000, seed=1).shown(4))
    assert torch.bincount(first, minlength=18).min() > 60  # 111 expected


@settings(max_examples=20)
@given(st.lists(st.integers(0, 49), min_size=1, max_size=20), st.integers(0, 100))
def test_rows_are_those_of_the_view(indices, epoch):
    features = made(18, "all")
    shown = features.shown(epoch)
    rows = features.rows(torch.tensor(indices), shown)
    for row, index in zip(rows, indices, strict=True):
        assert torch.equal(row, features.values[shown[index], index])


def test_shapes_and_views_are_checked():
    with pytest.raises(
        UsageError, match=r"must be of shape \(views, images, features\) with 3 images, but got \(3, 2\)"
    ):
        Features(torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(UsageError, match=r"with 2 images, but got \(1, 3, 2\)"):
        Features(torch.zeros(1, 3, 2), torch.zeros(2, dtype=torch.int64))
    for views in (-1, 2.5, "evry"):
        with pytest.raises(UsageError, match=f"but got {views!r}"):
            check_views(views)

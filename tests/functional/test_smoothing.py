import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lt_lightning.functional import label_aware_smoothing, smoothed_cross_entropy
from lt_lightning.functional.smoothing import SmoothingShape, delta_from_gap


@pytest.mark.parametrize(
    ("classes", "delta", "gap"), [(100, 0.98, 1.11), (1000, 0.99, 2.41), (8142, 0.99, 4.42), (10, 0.98, 0.19)]
)
def test_gaps_of_the_published_settings(classes: int, delta: float, gap: float) -> None:
    assert delta_from_gap(gap, classes) == pytest.approx(delta, abs=1e-3)


@settings(max_examples=50)
@given(st.integers(2, 10_000), st.floats(0, 30))
def test_delta_is_the_formula(classes: int, gap: float) -> None:
    assert delta_from_gap(gap, classes) == pytest.approx(classes / (classes + math.exp(gap) - 1), rel=1e-12)


def test_ends() -> None:
    assert delta_from_gap(0.0, 100) == 1.0
    assert delta_from_gap(1e4, 100) == 0.0


EVERY_SHAPE = ("concave", "linear", "convex", "exp")
COUNTS = torch.tensor([500.0, 255.0, 10.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("shape", "middle"),
    [("concave", math.sin(math.pi / 4)), ("linear", 0.5), ("convex", 1 + math.sin(1.75 * math.pi)), ("exp", 0.125)],
)
def test_shapes(shape: SmoothingShape, middle: float) -> None:
    found = label_aware_smoothing(COUNTS, 0.4, 0.1, shape, power=3.0)
    assert found.tolist() == pytest.approx([0.4, 0.1 + 0.3 * middle, 0.1], rel=1e-12)


def test_a_power_is_a_square_unless_said() -> None:
    found = label_aware_smoothing(COUNTS, 0.4, 0.1, "exp")
    assert found.tolist() == pytest.approx([0.4, 0.1 + 0.3 / 4, 0.1], rel=1e-12)


@pytest.mark.parametrize("shape", EVERY_SHAPE)
@settings(max_examples=20)
@given(counts=st.lists(st.integers(1, 5000), min_size=1, max_size=30), tail=st.floats(0, 0.5))
def test_smoothing_lies_between_tail_and_head_and_grows_with_the_count(
    shape: SmoothingShape, counts: list[int], tail: float
) -> None:
    found = label_aware_smoothing(torch.tensor(sorted(counts), dtype=torch.float64), tail + 0.4, tail, shape)
    assert bool((found.diff() >= -1e-12).all())
    assert bool(((found >= tail - 1e-12) & (found <= tail + 0.4 + 1e-12)).all())


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_balanced_counts_have_the_head(shape: SmoothingShape) -> None:
    assert label_aware_smoothing(torch.full((3,), 9.0), 0.4, 0.1, shape).tolist() == pytest.approx([0.4] * 3)


@settings(max_examples=20)
@given(st.floats(0, 1))
def test_equal_smoothing_is_torch_label_smoothing(smoothing: float) -> None:
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.tensor([0, 4, 2, 2])
    found = smoothed_cross_entropy(logits, targets, torch.full((4,), smoothing, dtype=torch.float64))
    expected = F.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="none")
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)

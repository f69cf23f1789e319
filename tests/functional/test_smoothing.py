import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.functional import delta_from_gap, gap_from_delta


@pytest.mark.parametrize(
    ("classes", "delta", "gap"), [(100, 0.98, 1.11), (1000, 0.99, 2.41), (8142, 0.99, 4.42), (10, 0.98, 0.19)]
)
def test_gaps_of_the_published_settings(classes: int, delta: float, gap: float) -> None:
    assert gap_from_delta(delta, classes) == pytest.approx(gap, abs=5e-3)


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 10_000), st.floats(1e-3, 30))
def test_the_two_are_inverse(classes: int, gap: float) -> None:
    delta = delta_from_gap(gap, classes)
    assert 0 < delta < 1
    assert gap_from_delta(delta, classes) == pytest.approx(gap, rel=1e-6)


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 10_000), st.floats(0, 30))
def test_delta_is_the_formula(classes: int, gap: float) -> None:
    assert delta_from_gap(gap, classes) == pytest.approx(classes / (classes + math.exp(gap) - 1), rel=1e-12)


def test_ends() -> None:
    assert delta_from_gap(0.0, 100) == 1.0
    assert delta_from_gap(1e4, 100) == 0.0
    assert gap_from_delta(1.0, 100) == 0.0
    assert gap_from_delta(0.0, 100) == math.inf

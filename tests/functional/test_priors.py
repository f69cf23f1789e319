from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lt_lightning.functional import (
    class_balanced_weights,
    frequency_factors,
    generalized_weights,
    group_of,
    label_aware_smoothing,
    ldam_margins,
    log_prior,
    shifted_priors,
)

COUNTS = st.lists(st.integers(1, 5000), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("function", "others"),
    [
        (log_prior, {}),
        (class_balanced_weights, {"beta": 0.9}),
        (generalized_weights, {"rho": 1.2}),
        (frequency_factors, {"gamma": 0.15}),
        (ldam_margins, {"max_margin": 0.5}),
        (label_aware_smoothing, {"head": 0.4, "tail": 0.1}),
        (group_of, {}),
        (shifted_priors, {}),
    ],
)
def test_class_counts_may_be_a_list_or_any_tensor(function: Callable[..., Any], others: dict[str, float]) -> None:
    counts = [4999, 37, 1]
    expected = function(class_counts=counts, **others)
    for given_counts in (torch.tensor(counts), torch.tensor(counts, dtype=torch.float32)):
        found = function(class_counts=given_counts, **others)
        for mine, theirs in zip(_tensors(found), _tensors(expected), strict=True):
            assert mine.dtype == theirs.dtype in (torch.float64, torch.bool)
            assert torch.equal(mine, theirs)


def _tensors(found: Tensor | dict[str, Tensor]) -> list[Tensor]:
    return [found] if isinstance(found, Tensor) else list(found.values())


@settings(max_examples=50)
@given(COUNTS)
def test_priors_sum_to_one(counts: list[int]) -> None:
    prior = log_prior(counts).exp()
    assert prior.sum().item() == pytest.approx(1, abs=1e-12)
    assert prior[0].item() == pytest.approx(counts[0] / sum(counts), rel=1e-12)


def test_weights_equal_exact_arithmetic() -> None:
    counts, beta = [5000, 37, 1], Fraction(9999, 10_000)
    raw = [(1 - beta) / (1 - beta**count) for count in counts]
    expected = [float(weight * len(counts) / sum(raw)) for weight in raw]
    assert class_balanced_weights(counts, 0.9999).tolist() == pytest.approx(expected, rel=1e-11)


@settings(max_examples=50)
@given(COUNTS, st.floats(0, 0.99999))
def test_weights_sum_to_the_number_of_classes_and_fall_with_the_count(counts: list[int], beta: float) -> None:
    weights = class_balanced_weights(sorted(counts), beta)
    assert weights.dtype == torch.float64
    assert weights.sum().item() == pytest.approx(len(counts), rel=1e-10)
    assert bool((weights.diff() <= 1e-12).all())


def test_beta_0_gives_equal_weights() -> None:
    assert class_balanced_weights([100, 7, 1], 0.0).tolist() == [1.0, 1.0, 1.0]


def test_beta_near_1_gives_inverse_frequency() -> None:
    weights = class_balanced_weights([100, 50, 1], 1 - 1e-12)
    assert (weights / weights[2]).tolist() == pytest.approx([0.01, 0.02, 1.0], rel=1e-6)


def test_weights_of_the_published_setting() -> None:
    # CIFAR100-LT at imbalance ratio 100: least and largest weight of the published code.
    counts = [int(500 * 100 ** (-c / 99)) for c in range(100)]
    weights = class_balanced_weights(counts, 0.9999)
    assert weights[0].item() == pytest.approx(0.0449, abs=5e-5)
    assert weights[-1].item() == pytest.approx(4.378, abs=5e-4)


@settings(max_examples=20)
@given(COUNTS, st.floats(0, 3))
def test_generalized_weights_are_a_power_of_the_prior(counts: list[int], rho: float) -> None:
    weights = generalized_weights(counts, rho)
    raw = [(count / sum(counts)) ** -rho for count in counts]
    assert weights.tolist() == pytest.approx([value * len(counts) / sum(raw) for value in raw], rel=1e-10)


def test_no_exponent_overflows_generalized_weights() -> None:
    assert generalized_weights([5000, 5000, 1], 500.0).tolist() == pytest.approx([0.0, 0.0, 3.0])


def test_frequency_factors() -> None:
    assert frequency_factors([16, 4, 1], 0.5).tolist() == pytest.approx([1.0, 0.5, 0.25])
    assert frequency_factors([16, 4, 1], 0.0).tolist() == [1.0, 1.0, 1.0]

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.functional.classifiers import (
    align_logits,
    class_means,
    cosine_logits,
    directions,
    mean_features,
    measured_radius,
    nearest_mean_bias,
    nearest_mean_logits,
    project_rows,
    row_cosines,
    row_norms,
    tau_normalize,
)

Function = Callable[[torch.Tensor], torch.Tensor]


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_norms() -> None:
    assert row_norms(torch.tensor([[3.0, 4.0], [0.0, 2.0]])).tolist() == [5.0, 2.0]
    assert row_norms(torch.full((1, 4), 200.0, dtype=torch.float16)).tolist() == [400.0]


@settings(max_examples=50)
@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.integers(0, 1000))
def test_cosine_does_not_see_lengths(a: float, b: float, seed: int) -> None:
    features, weight = randn(4, 3, seed=seed), randn(2, 3, seed=seed + 1)
    cosines = cosine_logits(features, weight)
    torch.testing.assert_close(cosine_logits(a * features, b * weight), cosines, rtol=1e-9, atol=1e-12)
    assert bool((cosines.abs() <= 1 + 1e-12).all())


def test_cosine_of_an_all_zero_vector_is_zero() -> None:
    weight = randn(2, 3).requires_grad_()
    logits = cosine_logits(torch.zeros(1, 3, dtype=torch.float64), weight)
    logits.sum().backward()
    assert logits.tolist() == [[0.0, 0.0]]
    assert torch.equal(weight.grad, torch.zeros(2, 3, dtype=torch.float64))


def test_tau_0_is_the_identity() -> None:
    weight = randn(4, 3)
    assert torch.equal(tau_normalize(weight, 0.0), weight)


@settings(max_examples=50)
@given(st.floats(0, 2), st.integers(0, 1000))
def test_norms_after_tau_normalisation(tau: float, seed: int) -> None:
    weight = randn(4, 3, seed=seed)
    expected = row_norms(weight) ** (1 - tau)
    torch.testing.assert_close(row_norms(tau_normalize(weight, tau)), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "of",
    [
        row_norms,
        directions,
        nearest_mean_bias,
        lambda rows: cosine_logits(rows, rows),
        lambda rows: tau_normalize(rows, 0.7),
        lambda rows: measured_radius(rows, 0.1),
        lambda rows: project_rows(rows, torch.tensor(0.5)),
    ],
)
def test_half_precision_is_raised_before_anything_is_computed(of: Function, dtype: torch.dtype) -> None:
    rows = randn(4, 3).to(dtype)
    assert of(rows).dtype == torch.float32
    assert torch.equal(of(rows), of(rows.float()))


def test_weights_of_no_length_have_room_within_a_radius_of_0() -> None:
    zero = torch.zeros(2, 3)
    assert torch.equal(project_rows(zero, measured_radius(zero, 0.1)), zero)


def test_all_zero_weights_stay_finite() -> None:
    zero = torch.zeros(1, 3)
    for tau in (0.0, 1.0, 4.0):
        assert torch.equal(tau_normalize(zero, tau), zero)
    short = torch.tensor([[3e-4, 4e-4]])
    torch.testing.assert_close(tau_normalize(short, 3.0), short / 5e-4**3)
    assert torch.equal(project_rows(zero, torch.tensor(1.0)), zero)


@pytest.mark.parametrize(("threshold", "radius"), [(0.0, 1.0), (0.1, 1.2), (1.0, 3.0)])
def test_measured_radius(threshold: float, radius: float) -> None:
    weight = torch.tensor([[1.0, 0.0], [0.0, 3.0], [2.0, 0.0]])
    assert measured_radius(weight, threshold).item() == pytest.approx(radius)


@settings(max_examples=50)
@given(st.floats(0.1, 5), st.integers(0, 1000))
def test_projection_bounds_norms_and_leaves_short_rows(radius: float, seed: int) -> None:
    weight = randn(6, 4, seed=seed)
    projected = project_rows(weight, torch.tensor(radius, dtype=torch.float64))
    short = row_norms(weight) <= radius
    assert bool((row_norms(projected) <= radius * (1 + 1e-12)).all())
    assert torch.equal(projected[short], weight[short])
    torch.testing.assert_close(cosine_logits(projected, weight).diagonal(), torch.ones(6, dtype=torch.float64))


def test_means_of_classes() -> None:
    features = torch.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 5.0]])
    means = class_means(features, torch.tensor([1, 1, 0]), 3)
    assert means.dtype == torch.float64
    assert means[:2].tolist() == [[5.0, 5.0], [2.0, 4.0]]
    assert bool(means[2].isnan().all())
    assert mean_features(features.half()).tolist() == [3.0, 13 / 3]


def test_means_are_taken_in_parts() -> None:
    features, targets = randn(9000, 3, seed=0), torch.arange(9000) % 4
    rows: list[int] = []

    def doubled(part: torch.Tensor) -> torch.Tensor:
        rows.append(len(part))
        return 2 * part

    means = class_means(features, targets, 4, doubled)
    assert sum(rows) == 9000
    assert max(rows) < 5000
    expected = torch.stack([2 * features[targets == label].mean(dim=0) for label in range(4)])
    torch.testing.assert_close(means, expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 5))
def test_nearest_mean_logits_are_distances_up_to_a_constant_of_each_image(seed: int, classes: int, size: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    features, means = (torch.randn(n, size, dtype=torch.float64, generator=generator) for n in (4, classes))
    logits = nearest_mean_logits(features, means)
    distances = (features.unsqueeze(1) - means).square().sum(-1)
    torch.testing.assert_close(logits - features.square().sum(1, keepdim=True), -distances)


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.floats(0.0, 1.0))
def test_alignment_lies_between_the_logits_and_their_lines(seed: int, share: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits, features = (torch.randn(5, 3, dtype=torch.float64, generator=generator) for _ in range(2))
    scales, offsets = torch.randn(2, 3, dtype=torch.float64, generator=generator)
    bias = torch.logit(torch.tensor([share], dtype=torch.float64), eps=1e-12)
    found = align_logits(logits, features, scales, offsets, torch.zeros(1, 3), bias)
    torch.testing.assert_close(found, torch.lerp(logits, scales * logits + offsets, share))
    assert torch.equal(align_logits(logits, features, scales * 0 + 1, offsets * 0, torch.ones(1, 3), bias), logits)


@settings(max_examples=20)
@given(st.integers(2, 9), st.integers(1, 5), st.integers(0, 1000))
def test_cosines_written_out(k: int, d: int, seed: int) -> None:
    weight = torch.randn(k, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    mean, largest = row_cosines(weight)
    for i in range(k):
        others = [torch.cosine_similarity(weight[i], weight[j], dim=0).item() for j in range(k) if j != i]
        assert mean[i].item() == pytest.approx(sum(others) / (k - 1), abs=1e-12)
        assert largest[i].item() == pytest.approx(max(others), abs=1e-12)


def test_blocks_of_cosines_leave_out_the_right_diagonal(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.randn(11, 4, generator=torch.Generator().manual_seed(0))
    whole = row_cosines(weight)
    monkeypatch.setattr("lt_lightning.functional.classifiers._ROWS_OF_COSINES", 4)
    torch.testing.assert_close(row_cosines(weight), whole)


def test_a_zero_row_has_cosine_zero() -> None:
    mean, largest = row_cosines(torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]))
    assert mean.tolist() == [0.0, -0.5, -0.5]
    assert largest.tolist() == [0.0, 0.0, 0.0]


def test_autocast_changes_no_cosine() -> None:
    weight = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    expected = row_cosines(weight)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(row_cosines(weight), expected, rtol=0, atol=0)

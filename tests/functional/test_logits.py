import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.functional import column_moments, logits_magnitude, own_moments, standard_deviation


def randn(n: int, k: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 20), st.integers(1, 6), st.integers(0, 1000))
def test_column_moments(n: int, k: int, seed: int) -> None:
    values = randn(n, k, seed)
    first, second = column_moments(values, torch.float64)
    torch.testing.assert_close(first, values.sum(0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(second, values.square().sum(0), rtol=1e-12, atol=1e-12)


def test_a_small_spread_on_a_large_mean_survives_fp32() -> None:
    values = (1e4 + randn(1000, 3)).float()
    first, second = column_moments(values, torch.float64)
    found = standard_deviation(first, second, torch.tensor(1000.0, dtype=torch.float64))
    torch.testing.assert_close(found, values.double().std(0, correction=0), rtol=1e-5, atol=0)


def test_input_is_not_changed() -> None:
    values = randn(4, 3)
    before = values.clone()
    column_moments(values, torch.float64)
    assert torch.equal(values, before)


def test_own_moments_class_by_class() -> None:
    values, targets = randn(9, 4), torch.tensor([0, 1, 1, 3, 0, 1, 3, 3, 3])
    first, second = own_moments(values, targets, torch.float64)
    for c in range(4):
        own = values[targets == c, c]
        assert first[c].item() == pytest.approx(own.sum().item(), rel=1e-12)
        assert second[c].item() == pytest.approx(own.square().sum().item(), rel=1e-12)
    assert first[2].item() == second[2].item() == 0.0


def test_magnitude_is_a_difference_of_means() -> None:
    values, targets = randn(12, 3), torch.tensor([0, 1] * 6)
    total = torch.bincount(targets, minlength=3)
    own, _ = own_moments(values, targets, torch.float64)
    found = logits_magnitude(values.sum(0), own, total)
    for c in range(2):
        expected = values[targets == c, c].mean() - values[targets != c, c].mean()
        assert found[c].item() == pytest.approx(expected.item(), rel=1e-12)
    assert found[2].isnan()


def test_deviation_of_a_constant_is_zero_not_nan() -> None:
    values = torch.full((7, 1), 0.1, dtype=torch.float64)
    first, second = values.sum(0), values.square().sum(0)
    assert standard_deviation(first, second, torch.tensor(7.0)).item() == pytest.approx(0.0, abs=1e-8)

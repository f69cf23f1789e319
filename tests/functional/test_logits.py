import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.functional import top_class
from lt_lightning.functional.logits import BLOCK, logit_moments, logits_magnitude, own_sums, standard_deviation


def randn(n: int, k: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=50)
@given(st.integers(1, 20), st.integers(1, 6), st.integers(0, 1000))
def test_moments_written_out(n: int, k: int, seed: int) -> None:
    values = randn(n, k, seed)
    means = values.mean(1, keepdim=True)
    found = logit_moments(values, torch.float64)
    torch.testing.assert_close(found.row_means, means.squeeze(1), rtol=1e-12, atol=1e-12)
    for row, version in enumerate((values, values - means)):
        torch.testing.assert_close(found.sums[row], version.sum(0), rtol=1e-12, atol=1e-11)
        torch.testing.assert_close(found.squares[row], version.square().sum(0), rtol=1e-12, atol=1e-11)


def test_a_batch_worked_on_in_pieces_is_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    values = randn(23, 5)
    whole = logit_moments(values, torch.float64)
    monkeypatch.setattr("lt_lightning.functional.logits.CHUNK", 4 * 5)
    torch.testing.assert_close(logit_moments(values, torch.float64), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("offset", ["of all", "of rows", "of columns"])
def test_a_small_spread_on_large_means_survives_fp32(offset: str) -> None:
    steps = (1024 * randn(1000, 3, 1).round()).float()  # sums with the values below are exact in fp32
    means = {"of all": steps[:1, :1], "of rows": steps[:, :1], "of columns": steps[:1]}[offset]
    values = (randn(1000, 3) * 256).round().div(256).float() + means
    exact, number = values.double(), torch.tensor(1000.0, dtype=torch.float64)
    found = logit_moments(values, torch.float64)
    deviations = standard_deviation(found.sums, found.squares, number)
    centred = exact - exact.mean(1, keepdim=True)
    expected = torch.stack((exact.std(0, correction=0), centred.std(0, correction=0)))
    torch.testing.assert_close(deviations, expected, rtol=1e-4, atol=0)


def test_input_is_not_changed() -> None:
    values = randn(4, 3)
    before = values.clone()
    logit_moments(values, torch.float64)
    assert torch.equal(values, before)


def test_autocast_takes_no_digits() -> None:
    values = randn(40, 30).float()
    with torch.autocast("cpu", torch.bfloat16):
        found = logit_moments(values, torch.float64)
    torch.testing.assert_close(found, logit_moments(values, torch.float64), rtol=0, atol=0)


def test_own_sums_class_by_class() -> None:
    values, targets = randn(9, 4), torch.tensor([0, 1, 1, 3, 0, 1, 3, 3, 3])
    means = values.mean(1)
    found = own_sums(values, targets, means)
    for row, version in enumerate((values, values - means.unsqueeze(1))):
        for c in range(4):
            assert found[row, c].item() == pytest.approx(version[targets == c, c].sum().item(), rel=1e-12)
    assert found[:, 2].tolist() == [0.0, 0.0]


@settings(max_examples=50)
@given(
    st.integers(1, 200) | st.integers(4 * BLOCK - 2, 6 * BLOCK), st.integers(0, 1000), st.sampled_from([2, 50, 10**6])
)
def test_top_class_is_argmax_also_among_equals(k: int, seed: int, levels: int) -> None:
    values = (randn(7, k, seed) * levels).round().clamp(-levels, levels)
    values[0, :] = 0.0
    values[1, -1] = 3 * levels
    values[2, k // 2] = torch.nan
    values[3, :] = -torch.inf
    assert torch.equal(top_class(values), values.argmax(1))
    assert torch.equal(top_class(values.t().contiguous().t()), values.argmax(1))


def test_magnitude_is_a_difference_of_means() -> None:
    values, targets = randn(12, 3), torch.tensor([0, 1] * 6)
    total = torch.bincount(targets, minlength=3)
    own = own_sums(values, targets, values.mean(1))
    found = logits_magnitude(values.sum(0), own[0], total)
    for c in range(2):
        expected = values[targets == c, c].mean() - values[targets != c, c].mean()
        assert found[c].item() == pytest.approx(expected.item(), rel=1e-12)
    assert found[2].isnan()


def test_deviation_of_a_constant_is_zero_not_nan() -> None:
    values = torch.full((7, 1), 0.1, dtype=torch.float64)
    first, second = values.sum(0), values.square().sum(0)
    assert standard_deviation(first, second, torch.tensor(7.0)).item() == pytest.approx(0.0, abs=1e-8)
    short = torch.tensor([3.0, 2.9999, 3.0], dtype=torch.float64)  # squares below the mean's, as rounding may leave
    assert standard_deviation(*short).item() == 0.0


def test_magnitude_of_the_only_class_with_samples_is_none_whatever_rounding_leaves() -> None:
    total = torch.tensor([3, 0])
    found = logits_magnitude(torch.tensor([0.3000001, 1.0]), torch.tensor([0.3, 0.0]), total)
    assert found.isnan().all()

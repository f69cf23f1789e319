import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.functional import row_cosines


@settings(max_examples=20)
@given(st.integers(2, 9), st.integers(1, 5), st.integers(0, 1000))
def test_pairs_written_out(k: int, d: int, seed: int) -> None:
    weight = torch.randn(k, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    mean, largest = row_cosines(weight)
    for i in range(k):
        others = [torch.cosine_similarity(weight[i], weight[j], dim=0).item() for j in range(k) if j != i]
        assert mean[i].item() == pytest.approx(sum(others) / (k - 1), abs=1e-12)
        assert largest[i].item() == pytest.approx(max(others), abs=1e-12)


def test_blocks_of_rows_leave_out_the_right_diagonal(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.randn(11, 4, generator=torch.Generator().manual_seed(0))
    whole = row_cosines(weight)
    monkeypatch.setattr("lt_lightning.functional.cosines.ROWS", 4)
    torch.testing.assert_close(row_cosines(weight), whole)


def test_a_zero_row_has_cosine_zero() -> None:
    mean, largest = row_cosines(torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]))
    assert mean.tolist() == [0.0, -0.5, -0.5]
    assert largest.tolist() == [0.0, 0.0, 0.0]


def test_autocast_changes_nothing() -> None:
    weight = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    expected = row_cosines(weight)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(row_cosines(weight), expected, rtol=0, atol=0)

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from lt_lightning.functional import average_precision


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 30), st.integers(0, 1000), st.sampled_from([2, 5, 10**6]))
def test_equals_scikit_learn_also_among_equal_scores(n: int, seed: int, levels: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(levels, (3, n), generator=generator).double()
    relevant = torch.rand(3, n, generator=generator) < 0.4
    relevant[:, 0] = True
    expected = [average_precision_score(r.numpy(), s.numpy()) for r, s in zip(relevant, scores, strict=True)]
    assert average_precision(scores, relevant).tolist() == pytest.approx(expected, abs=1e-12)


def test_a_row_with_nothing_relevant_is_nan() -> None:
    found = average_precision(torch.tensor([[1.0, 2.0], [2.0, 1.0]]), torch.tensor([[False, False], [False, True]]))
    assert found[0].isnan()
    assert found[1].item() == 0.5


def test_scores_at_minus_infinity_come_last() -> None:
    scores = torch.tensor([[0.3, -torch.inf, 0.2, -torch.inf]])
    assert average_precision(scores, torch.tensor([[False, False, True, False]])).item() == 0.5

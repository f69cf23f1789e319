import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from lt_lightning.functional.ranking import average_precision, classes_ahead


@settings(max_examples=30)
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


def test_transposed_scores_are_ranked_without_a_warning_of_torch() -> None:
    scores = torch.rand(5, 40).t()
    relevant = torch.zeros(40, 5, dtype=torch.bool)
    relevant[:, 1] = True
    torch.set_warn_always(True)  # else once per program
    try:
        found = average_precision(scores, relevant)
    finally:
        torch.set_warn_always(False)
    assert torch.equal(found, average_precision(scores.contiguous(), relevant))


def test_classes_read_with_two_blocks_count_once() -> None:
    # The last of 260 classes are read together with the end of the block before them.
    scores = torch.zeros(1, 260)
    scores[0, [230, 250, 257]] = 1.0
    assert classes_ahead(scores, torch.tensor([0]), 5).item() == 3


@settings(max_examples=60)
@given(
    st.integers(0, 12),
    st.one_of(st.integers(1, 40), st.integers(250, 700)),
    st.integers(1, 7),
    st.sampled_from([1, 2, 5, 10**6]),
    st.booleans(),
    st.integers(0, 10_000),
)
def test_classes_ahead_written_out(n: int, k: int, limit: int, levels: int, nan: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(levels, (n, k), generator=generator).float()
    targets = torch.randint(k, (n,), generator=generator)
    if nan and n:
        scores[0, k // 2] = torch.nan
    expected = []
    for row, target in zip(scores.tolist(), targets.tolist(), strict=True):
        own = row[target]
        ahead = [not value <= own or (value == own and c < target) for c, value in enumerate(row)]
        expected.append(min(sum(ahead), limit))
    assert classes_ahead(scores, targets, limit).clamp_max(limit).tolist() == expected
    if not scores.isnan().any():
        assert torch.equal(classes_ahead(scores, targets, 1) == 0, scores.argmax(1) == targets)


@pytest.mark.parametrize("classes", [10, 300])
def test_columns_of_a_larger_matrix_are_read_as_they_are(classes: int) -> None:
    scores = torch.randn(5, 2 * classes, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(5)
    assert torch.equal(
        classes_ahead(scores[:, ::2], targets, 5).clamp_max(5),
        classes_ahead(scores[:, ::2].contiguous(), targets, 5).clamp_max(5),
    )

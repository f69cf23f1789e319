import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from lt_lightning.errors import UsageError
from lt_lightning.metrics import multilabel_scores


def mean_over(rows: list[tuple[list[int], list[float]]], score: object, needs_negatives: bool) -> float:
    values = [
        score(labels, values)  # type: ignore[operator]
        for labels, values in rows
        if 1 in labels and (0 in labels or not needs_negatives)
    ]
    return sum(values) / len(values) if values else float("nan")


@settings(max_examples=20)
@given(st.integers(2, 12), st.integers(2, 8), st.integers(0, 1000))
def test_equals_scikit_learn_class_by_class_and_image_by_image(n: int, k: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(n, k, generator=generator, dtype=torch.float64)
    labels = (torch.rand(n, k, generator=generator) < 0.4).long()
    top = min(3, k)
    found = multilabel_scores(scores, labels, top)
    predicted = [[int(value in sorted(row)[-top:]) for value in row] for row in scores.tolist()]
    columns = [list(column) for column in zip(*labels.tolist(), strict=True)]
    expected = {
        "class_map": mean_over(
            list(zip(columns, scores.t().tolist(), strict=True)), average_precision_score, needs_negatives=False
        ),
        "image_map": mean_over(
            list(zip(labels.tolist(), scores.tolist(), strict=True)), average_precision_score, needs_negatives=False
        ),
        "class_balanced_accuracy": mean_over(
            [(y, list(p)) for y, p in zip(columns, zip(*predicted, strict=True), strict=True)],
            balanced_accuracy_score,
            needs_negatives=True,
        ),
        "image_balanced_accuracy": mean_over(
            list(zip(labels.tolist(), predicted, strict=True)), balanced_accuracy_score, needs_negatives=True
        ),
    }
    assert {name: value.item() for name, value in found.items()} == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_five_classes_are_predicted_unless_told() -> None:
    scores, labels = torch.arange(8.0).unsqueeze(0), torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1]])
    assert multilabel_scores(scores, labels)["image_balanced_accuracy"].item() == 1.0
    assert multilabel_scores(scores, labels, top_k=1)["image_balanced_accuracy"].item() == pytest.approx(0.6)


def test_without_images_nothing_can_be_averaged() -> None:
    found = multilabel_scores(torch.zeros(0, 6), torch.zeros(0, 6))
    assert all(value.isnan() for value in found.values())


def test_bad_input_is_refused() -> None:
    scores = torch.zeros(3, 4)
    with pytest.raises(UsageError, match=r"must both be \(N, K\), but got \(3, 4\) and \(3,\)"):
        multilabel_scores(scores, torch.zeros(3), 2)
    with pytest.raises(UsageError, match="`top_k` must lie in 1 to 4, the number of classes, but got 5"):
        multilabel_scores(scores, torch.zeros(3, 4))
    with pytest.raises(UsageError, match="`labels` must hold 0 and 1 alone"):
        multilabel_scores(scores, torch.full((3, 4), 0.5), 2)
    with pytest.raises(UsageError, match="`scores` must be numbers, but some are NaN"):
        multilabel_scores(scores.fill_(torch.nan), torch.zeros(3, 4), 2)

import math
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from lt_lightning.errors import UsageError
from lt_lightning.losses import LargeMarginSoftmaxLoss

COUNTS = [500, 30, 5, 5]
LOGITS = torch.tensor([[1.0, -2.0, 0.5, 0.3], [0.0, 3.0, -1.0, 1.0], [2.0, 2.0, -2.0, 0.1]], dtype=torch.float64)
TARGETS = torch.tensor([0, 2, 1])


def test_reference_numbers(assert_golden: Callable[[str], None]) -> None:
    assert_golden("LargeMarginSoftmaxLoss")


def test_sums_written_out_with_weights_on_the_cross_entropy_alone() -> None:
    lam, weights = 0.7, [0.2, 0.5, 2.3, 1.0]
    weighted, regularizer = 0.0, 0.0
    for row, y in zip(LOGITS.tolist(), TARGETS.tolist(), strict=True):
        weighted -= weights[y] * (row[y] - math.log(sum(map(math.exp, row))))
        others = [math.exp(z) for k, z in enumerate(row) if k != y]
        regularizer += sum((e / sum(others) - 1 / 3) * math.log(e / sum(others)) for e in others) / 2
    expected = weighted / sum(weights[y] for y in TARGETS.tolist()) + lam * regularizer / 3
    found = LargeMarginSoftmaxLoss(COUNTS, lam, weights)(LOGITS, TARGETS)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_lambda_0_gives_cross_entropy() -> None:
    found = LargeMarginSoftmaxLoss(COUNTS, 0.0)(LOGITS, TARGETS)
    torch.testing.assert_close(found, F.cross_entropy(LOGITS, TARGETS), rtol=1e-12, atol=0)


def test_two_classes_give_cross_entropy() -> None:
    targets = torch.tensor([0, 1, 1])
    found = LargeMarginSoftmaxLoss([9, 2], 5.0)(LOGITS[:, :2], targets)
    torch.testing.assert_close(found, F.cross_entropy(LOGITS[:, :2], targets), rtol=1e-12, atol=0)


def test_samples_of_weight_0_still_flatten_their_rivals() -> None:
    found = LargeMarginSoftmaxLoss(COUNTS, 0.3, weight=[0.0] * 4)(LOGITS, TARGETS)
    difference = LargeMarginSoftmaxLoss(COUNTS, 0.3)(LOGITS, TARGETS) - F.cross_entropy(LOGITS, TARGETS)
    torch.testing.assert_close(found, difference, rtol=1e-12, atol=0)


def test_negative_lambda_is_refused() -> None:
    with pytest.raises(UsageError, match=r"`reg_lambda` must be at least 0, but got -1\.0"):
        LargeMarginSoftmaxLoss(COUNTS, reg_lambda=-1.0)


def test_one_class_is_refused() -> None:
    with pytest.raises(UsageError, match=r"`class_counts` must have at least 2 classes, but got \[9\]"):
        LargeMarginSoftmaxLoss([9])

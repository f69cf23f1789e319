import math
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from lt_lightning.errors import UsageError
from lt_lightning.losses import FocalLoss

COUNTS = [500, 30, 5]
LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0], [2.0, 2.0, -2.0]], dtype=torch.float64)
TARGETS = torch.tensor([0, 2, 1])


def test_reference_numbers(assert_golden: Callable[[str], None]) -> None:
    assert_golden("FocalLoss")


def test_class_weights_do_not_enter_the_factor() -> None:
    gamma, weights = 1.5, [0.2, 0.5, 2.3]
    total = 0.0
    for row, y in zip(LOGITS.tolist(), TARGETS.tolist(), strict=True):
        p = math.exp(row[y]) / sum(map(math.exp, row))
        total -= weights[y] * (1 - p) ** gamma * math.log(p)
    found = FocalLoss(COUNTS, gamma, weights)(LOGITS, TARGETS)
    assert found.item() == pytest.approx(total / sum(weights), rel=1e-12)


def test_gamma_0_gives_cross_entropy() -> None:
    torch.testing.assert_close(FocalLoss(COUNTS, 0.0)(LOGITS, TARGETS), F.cross_entropy(LOGITS, TARGETS))


@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0, 2.0])
def test_certain_samples_have_a_finite_gradient(gamma: float) -> None:
    logits = torch.tensor([[1e4, 0.0, 0.0], [30.0, 0.0, 0.0], [15.0, 0.0, 0.0]], requires_grad=True)
    FocalLoss(COUNTS, gamma)(logits, torch.tensor([0, 0, 0])).backward()
    assert bool(logits.grad.isfinite().all())


def test_negative_gamma_is_refused() -> None:
    with pytest.raises(UsageError, match=r"`gamma` must be at least 0, but got -1\.0"):
        FocalLoss(COUNTS, gamma=-1.0)

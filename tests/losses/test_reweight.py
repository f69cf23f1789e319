from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from lt_lightning.errors import UsageError
from lt_lightning.losses import GeneralizedReweightLoss

COUNTS = [500, 30, 5]
LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], dtype=torch.float64)
TARGETS = torch.tensor([0, 2])


def test_reference_numbers(assert_golden: Callable[[str], None]) -> None:
    assert_golden("GeneralizedReweightLoss")


def test_is_cross_entropy_weighted_by_a_power_of_the_prior() -> None:
    weight = (torch.tensor(COUNTS, dtype=torch.float64) / sum(COUNTS)) ** -0.7
    found = GeneralizedReweightLoss(COUNTS, rho=0.7)
    torch.testing.assert_close(found(LOGITS, TARGETS), F.cross_entropy(LOGITS, TARGETS, weight), rtol=1e-12, atol=0)
    assert found.weight is not None
    assert found.weight.sum().item() == pytest.approx(3.0)


def test_rho_0_or_equal_counts_give_cross_entropy() -> None:
    expected = F.cross_entropy(LOGITS, TARGETS)
    for loss in (GeneralizedReweightLoss(COUNTS, rho=0.0), GeneralizedReweightLoss([7, 7, 7])):
        torch.testing.assert_close(loss(LOGITS, TARGETS), expected, rtol=1e-12, atol=0)


def test_negative_rho_is_refused() -> None:
    with pytest.raises(UsageError, match=r"`rho` must be at least 0, but got -1\.0"):
        GeneralizedReweightLoss(COUNTS, rho=-1.0)

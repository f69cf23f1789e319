"""Rows of all heads as one batch."""

import pytest
import torch

from lt_lightning.losses import ClassBalancedLoss, CrossEntropyLoss, SoftSelectionLogisticLoss
from lt_lightning.retraining.slopes.autograd import AutogradSlopes
from lt_lightning.retraining.slopes.base import by_head

COUNTS = [9, 4, 2, 1]


def test_rows_follow_the_order_of_flattened_logits():
    assert by_head(torch.tensor([5, 7]), 3).tolist() == [5, 5, 5, 7, 7, 7]


@pytest.mark.parametrize("weighted", [False, True])
def test_weighted_means_of_each_head_are_kept(weighted):
    weight = torch.tensor([0.1, 1.0, 2.0, 5.0], dtype=torch.float64) if weighted else None
    losses = [CrossEntropyLoss(COUNTS, weight=None if weight is None else weight.tolist()).double() for _ in range(3)]
    logits = torch.randn(6, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 3, 2, 1, 0, 0])
    found, share = AutogradSlopes(losses, logits)(logits, targets, torch.zeros(6, 2))
    for head in range(3):
        alone = logits[:, head].clone().requires_grad_()
        torch.nn.functional.cross_entropy(alone, targets, weight).backward()
        torch.testing.assert_close(found[:, head] * share, alone.grad, rtol=1e-9, atol=1e-12)


def test_only_equal_losses_without_state_share_rows():
    class Own(SoftSelectionLogisticLoss):
        pass

    key = AutogradSlopes.key
    assert key(SoftSelectionLogisticLoss(COUNTS)) == key(SoftSelectionLogisticLoss(COUNTS))
    assert key(ClassBalancedLoss(COUNTS, beta=0.9)) != key(ClassBalancedLoss(COUNTS, beta=0.99))
    assert key(Own(COUNTS)) is None
    assert key(SoftSelectionLogisticLoss(COUNTS, reduction="sum")) is None

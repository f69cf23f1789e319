"""Parts that do not go together are refused by name, the others are not."""

from functools import partial
from types import SimpleNamespace

import pytest

from lt_lightning.errors import UsageError
from lt_lightning.heads import CosineHead, LinearHead, LogitAdjustmentHead, LWSHead
from lt_lightning.losses import BalancedSoftmaxLoss, CrossEntropyLoss, LDAMLoss, LORTLoss
from lt_lightning.modules.combinations import check_head_and_loss, check_sampler

COUNTS = [30, 5, 2]
BALANCED, AS_FOUND = SimpleNamespace(rebalances=True), SimpleNamespace(rebalances=False)


@pytest.mark.parametrize(
    ("head", "loss"),
    [
        (LinearHead, CrossEntropyLoss),
        (LinearHead, BalancedSoftmaxLoss),
        (LinearHead, partial(LDAMLoss, scale=1.0)),
        (LogitAdjustmentHead, LORTLoss),
        (partial(CosineHead, scale=1.0), LDAMLoss),
    ],
)
def test_parts_that_go_together(head, loss):
    check_head_and_loss(head(4, COUNTS), loss(COUNTS), allow_double_balancing=False)


@pytest.mark.parametrize(
    ("head", "loss", "sentence"),
    [
        (LogitAdjustmentHead, BalancedSoftmaxLoss, "LogitAdjustmentHead and `model.loss` BalancedSoftmaxLoss would"),
        (LinearHead, LDAMLoss, "LinearHead and `model.loss` LDAMLoss do not go together: .* scale 30"),
        (CosineHead, LDAMLoss, "CosineHead and `model.loss` LDAMLoss .* nothing has scaled before"),
        (partial(CosineHead, scale=1.0, learnable_scale=True), LDAMLoss, "CosineHead and `model.loss` LDAMLoss"),
    ],
)
def test_heads_and_losses_that_do_not(head, loss, sentence):
    with pytest.raises(UsageError, match=sentence):
        check_head_and_loss(head(4, COUNTS), loss(COUNTS), allow_double_balancing=False)


def test_double_balancing_may_be_allowed_and_scaling_twice_not():
    check_head_and_loss(LogitAdjustmentHead(4, COUNTS), BalancedSoftmaxLoss(COUNTS), allow_double_balancing=True)
    with pytest.raises(UsageError, match="do not go together"):
        check_head_and_loss(CosineHead(4, COUNTS), LDAMLoss(COUNTS), allow_double_balancing=True)


def test_a_balanced_sampler_and_what_else_balances():
    head, loss = LWSHead(4, COUNTS), CrossEntropyLoss(COUNTS)
    check_sampler(BALANCED, head, loss, allow_double_balancing=False)
    check_sampler(AS_FOUND, head, BalancedSoftmaxLoss(COUNTS), allow_double_balancing=False)
    check_sampler(BALANCED, head, BalancedSoftmaxLoss(COUNTS), allow_double_balancing=True)
    with pytest.raises(UsageError, match=r"`data.sampler` and `BalancedSoftmaxLoss` would both"):
        check_sampler(BALANCED, head, BalancedSoftmaxLoss(COUNTS), allow_double_balancing=False)
    with pytest.raises(UsageError, match=r"`data.sampler` and `LogitAdjustmentHead` would both"):
        check_sampler(BALANCED, LogitAdjustmentHead(4, COUNTS), loss, allow_double_balancing=False)

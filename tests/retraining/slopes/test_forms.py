"""Losses in their common form."""

from functools import partial

import pytest
import torch

from lt_lightning.losses import BalancedSoftmaxLoss, ClassBalancedLoss, CrossEntropyLoss, LORTLoss
from lt_lightning.retraining.slopes.forms import SoftmaxForm, softmax_form

COUNTS = [30, 12, 5]


def test_parts():
    form = softmax_form(LORTLoss(COUNTS, delta=0.9))
    assert form.smoothing.tolist() == [0.9] * 3
    assert form.scale.tolist() == form.weight.tolist() == [1.0] * 3
    assert form.offset.tolist() == form.margin.tolist() == [0.0] * 3
    offset = softmax_form(BalancedSoftmaxLoss(COUNTS)).offset
    torch.testing.assert_close(offset, torch.tensor(COUNTS).double().log() - torch.tensor(47.0).double().log())


def test_forms_stack_by_head():
    stacked = SoftmaxForm.stack([softmax_form(LORTLoss(COUNTS, delta=delta)) for delta in (0.1, 0.2)])
    assert stacked.smoothing.tolist() == [[0.1] * 3, [0.2] * 3]


class Halved(CrossEntropyLoss):
    """Derived from a loss that has a form, without one."""

    def forward(self, logits, targets, features=None):
        return super().forward(logits, targets, features) / 2


@pytest.mark.parametrize(
    "make",
    [
        Halved,
        partial(ClassBalancedLoss, kind="sigmoid"),
        partial(CrossEntropyLoss, reduction="sum"),
        partial(CrossEntropyLoss, weight=[1.0, 2.0, 3.0], label_smoothing=0.1),
    ],
)
def test_others_have_none(make):
    assert softmax_form(make(COUNTS)) is None

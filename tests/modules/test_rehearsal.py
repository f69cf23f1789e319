"""Heads and losses of one's own take a step before a stage 1 trains."""

import pytest
import torch
from torch.nn import functional as F

from lt_lightning.backbones import SmallCNN
from lt_lightning.heads import LinearHead
from lt_lightning.losses import CrossEntropyLoss, Loss
from lt_lightning.modules import RetrainModule
from lt_lightning.modules.rehearsal import rehearse_module

CPU = torch.device("cpu")


class Wide(Loss):
    """Fits features of another length."""

    def forward(self, logits, targets, features=None):
        return F.cross_entropy(logits, targets) + (features @ torch.zeros(9, 1)).mean()


class Unsure(CrossEntropyLoss):
    """Makes no probabilities of as many logits."""

    def probabilities(self, logits):
        return torch.softmax(logits @ torch.zeros(9, 1), dim=1)


class Unbiased(LinearHead):
    asked = False

    def init_from(self, weight, bias):
        type(self).asked = True
        if bias is not None:
            raise ValueError("no bias, please")
        super().init_from(weight, bias)


class Counting(LinearHead):
    rows: list[int] = []  # noqa: RUF012

    def forward(self, features):
        self.rows.append(len(features))
        return super().forward(features)


def module(kind=RetrainModule, **parts):
    return kind([5, 3, 2], "stage 1", SmallCNN(8), **parts)


def test_a_step_that_fails_is_shown_and_leaves_no_trace():
    mine = module(loss=Wide)
    before = {key: value.clone() for key, value in mine.state_dict().items()}
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with pytest.raises(RuntimeError, match="9"):
        rehearse_module(mine, 32, CPU)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(value, before[key]) for key, value in mine.state_dict().items())
    assert all(parameter.grad is None for parameter in mine.parameters())


def test_probabilities_that_fail_are_shown_too():
    with pytest.raises(RuntimeError, match="9"):
        rehearse_module(module(loss=Unsure), 32, CPU)


def test_a_head_that_refuses_the_classifier_that_stands_for_stage_1s_is_not_judged():
    rehearse_module(module(head=Unbiased), 32, CPU)
    assert Unbiased.asked


@pytest.mark.parametrize(("rows", "seen"), [(32, 32), (1000, 256), (None, 64), ("many", 64)])
def test_batches_are_as_long_as_the_data_say_within_reason(rows, seen):
    mine = module(head=Counting)
    Counting.rows.clear()
    rehearse_module(mine, rows, CPU)
    assert max(Counting.rows) == seen


def test_modules_of_ones_own_and_known_parts_are_passed_over(monkeypatch):
    class Own(RetrainModule):
        pass

    called = []
    known, own = module(), module(Own, head=Counting)
    monkeypatch.setattr(CrossEntropyLoss, "forward", lambda *_: called.append("called"))
    rehearse_module(known, 32, CPU)
    rehearse_module(own, 32, CPU)
    assert called == []

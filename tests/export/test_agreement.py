"""What counts as a difference."""

from functools import partial

import pytest
import torch

from lt_lightning import export
from lt_lightning.export.agreement import Differences, differences, logits_apart, size_of
from lt_lightning.losses import ClassBalancedLoss, CrossEntropyLoss
from lt_lightning.records import read_record

SIGMOID = partial(ClassBalancedLoss, kind="sigmoid")


class Known(torch.nn.Module):
    """Has the same logits for any image."""

    def __init__(self, row):
        super().__init__()
        self.row = row

    def predict(self, features):
        return self.row.expand(len(features), -1)


def compared(stage1, row, error, loss=CrossEntropyLoss, logits=False):
    """The differences of a file whose logits are ``row + error`` from a program whose logits are ``row``."""
    module = export.rebuild(read_record(stage1))
    module.loss = loss([5] * len(row))
    files = []
    for numbers in (torch.tensor(row), torch.tensor(row) + torch.tensor(error)):
        module.head = Known(numbers)
        files.append(export.Program(module, None, 1.0, logits).eval())
    program, file = files
    return differences(program, file, file.giving_logits(), [torch.rand(size, 1, 8, 8) for size in (1, 2)])


def test_probabilities_are_held_against_the_checkpoints_where_logits_are_large(stage1):
    found = compared(stage1, [50.0, 50.0, -50.0], [0.004, 0.0, 0.0])
    assert found.logits < 1e-4
    assert found.last_step == 0
    assert found.refusal() == "1.0e-03, more than 1e-04 in a probability"
    assert compared(stage1, [50.0, 50.0, -50.0], [1e-4, 0.0, 0.0]).refusal() is None


def test_what_logits_have_in_common_hides_nothing_from_a_softmax(stage1):
    row = [1000.0, 1010.0, 990.0]
    found = compared(stage1, row, [0.0, 0.01, 0.0])
    assert found.largest == 1010
    assert found.probabilities < 1e-5
    assert "of the largest logit" in found.refusal()
    assert compared(stage1, row, [0.5, 0.5, 0.5]).refusal() is None
    assert "of the largest logit" in compared(stage1, row, [0.5, 0.5, 0.5], logits=True).refusal()
    assert "of the largest logit" in compared(stage1, row, [0.0, 0.01, 0.0], logits=True).refusal()
    assert "of the largest logit" in compared(stage1, row, [0.5, 0.5, 0.5], SIGMOID).refusal()


def test_rounding_of_what_logits_have_in_common_is_let_through(stage1):
    assert compared(stage1, [5.0, 5.0 + 1e-6, 5.0], [5e-7, 0.0, 0.0]).refusal() is None


@pytest.mark.parametrize("loss", [CrossEntropyLoss, SIGMOID])
def test_probabilities_of_huge_logits_may_be_rounded_as_these_are(stage1, loss):
    """Of two classes alike, fp32 cannot say which is the likelier."""
    found = compared(stage1, [1e5, 1e5, -1e5], [0.0, -0.03125, 0.0], loss)
    assert found.refusal() is None


def test_a_file_of_another_last_step_is_refused_however_sure(stage1):
    module = export.rebuild(read_record(stage1))
    module.head = Known(torch.tensor([1e7, -1e7]))
    module.loss = CrossEntropyLoss([5, 5])
    program = export.Program(module, None, 1.0, False).eval()
    found = differences(program, lambda images: 1 - program(images), program.giving_logits(), [torch.rand(2, 1, 8, 8)])
    assert found.logits == 0
    assert found.refusal() == "1.0e+00, more than 1e-04 in a probability"


def test_logits_of_minus_infinity_are_equal_and_none_beside_them_is_hidden():
    loss = CrossEntropyLoss([5, 5, 5])
    row = torch.tensor([[1.0, -float("inf"), 3.0]])
    assert size_of(loss, row) == 1
    assert logits_apart(loss, row, row) == 0
    assert logits_apart(loss, torch.tensor([[1.1, -float("inf"), 3.0]]), row) == pytest.approx(0.05, rel=1e-5)


def test_other_shapes_and_what_is_no_number_are_refused(stage1):
    module = export.rebuild(read_record(stage1))
    program = export.Program(module, None, 1.0, False).eval()
    images = [torch.rand(2, 1, 8, 8)]
    narrow = differences(program, lambda images: program(images)[:1], program.giving_logits(), images)
    assert narrow.refusal() == "inf, more than 1e-04 in a probability"
    none = differences(program, program, lambda images: program(images)[:, :3], images)
    assert none.refusal() == "inf, more than 1e-04 in a probability"
    assert Differences(float("nan"), 1.0).refusal() == "nan, more than 1e-04 of the largest logit"


def test_each_number_is_told_with_its_unit():
    assert str(Differences(2e-7, 3.0, 1e-8, 0.0)) == "1.0e-08 in a probability and 2.0e-07 of the largest logit"
    assert str(Differences(2e-7, 3.0)) == "2.0e-07 of the largest logit"

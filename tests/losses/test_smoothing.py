from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lt_lightning.errors import UsageError
from lt_lightning.functional import class_balanced_weights
from lt_lightning.losses import LabelAwareSmoothingLoss, LORTLoss

LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], dtype=torch.float64)
TARGETS = torch.tensor([0, 2])


@pytest.mark.parametrize("name", ["LORTLoss", "LabelAwareSmoothingLoss"])
def test_reference_numbers(name: str, assert_golden: Callable[[str], None]) -> None:
    assert_golden(name)


@settings(max_examples=30)
@given(st.floats(0, 1))
def test_labels_are_retargeted_as_the_paper_says(delta: float) -> None:
    labels = torch.full((2, 3), delta / 3, dtype=torch.float64)
    labels[[0, 1], TARGETS] += 1 - delta
    expected = -(labels * LOGITS.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(LORTLoss([9, 5, 2], delta)(LOGITS, TARGETS), expected, rtol=1e-12, atol=1e-12)


def test_delta_0_gives_cross_entropy() -> None:
    torch.testing.assert_close(LORTLoss([9, 5, 2], 0.0)(LOGITS, TARGETS), F.cross_entropy(LOGITS, TARGETS))


@pytest.mark.parametrize(("classes", "gap"), [(3, 0.5), (100, 1.11), (8142, 4.42)])
def test_the_gap_asked_for_is_the_minimum(classes: int, gap: float) -> None:
    targets = torch.tensor([0, classes - 1])
    logits = (gap * F.one_hot(targets, classes).double()).requires_grad_()
    (gradient,) = torch.autograd.grad(LORTLoss([5] * classes, gap=gap)(logits, targets), logits)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-14)


def test_counts_do_not_matter() -> None:
    assert torch.equal(LORTLoss([900, 30, 1])(LOGITS, TARGETS), LORTLoss([1, 1, 1])(LOGITS, TARGETS))


def test_defaults() -> None:
    assert LORTLoss([9, 5, 2]).delta == 0.98
    assert LORTLoss([9, 5, 2], gap=0.0).delta == 1.0


def test_a_configuration_passes_the_default_delta_beside_the_gap() -> None:
    assert LORTLoss([9, 5, 2], delta=0.98, gap=1.0).delta == LORTLoss([9, 5, 2], gap=1.0).delta


def test_both_given_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"`delta` and `gap` say the same thing; got 0\.9 and 1\.0, give one"):
        LORTLoss([9, 5, 2], delta=0.9, gap=1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delta": -0.1}, r"`delta` must lie in \[0, 1\], but got -0\.1"),
        ({"delta": 1.5}, r"`delta` must lie in \[0, 1\], but got 1\.5"),
        ({"gap": -1.0}, r"`gap` must be at least 0, but got -1\.0"),
    ],
)
def test_out_of_range_is_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LORTLoss([9, 5, 2], **arguments)


def test_class_weights_are_refused_naming_both() -> None:
    message = r"`LORTLoss` does not go with class weights \(`weight`, deferred re-weighting\)"
    loss = LORTLoss([9, 5, 2])
    with pytest.raises(UsageError, match=message):
        loss.set_weight(class_balanced_weights([9, 5, 2], 0.9999))
    loss.set_weight(None)
    assert loss.weight is None


def test_label_aware_smoothing_written_out() -> None:
    loss = LabelAwareSmoothingLoss([9, 5, 2], head=0.5, tail=0.1, shape="linear", weight=[1.0, 2.0, 3.0])
    labels = torch.tensor([[1 - 0.5 + 0.5 / 3, 0.5 / 3, 0.5 / 3], [0.1 / 3, 0.1 / 3, 1 - 0.1 + 0.1 / 3]])
    parts = -(labels.double() * LOGITS.log_softmax(1)).sum(1)
    torch.testing.assert_close(loss(LOGITS, TARGETS), (parts[0] + 3 * parts[1]) / 4, rtol=1e-6, atol=0)


def test_without_smoothing_it_is_cross_entropy() -> None:
    found = LabelAwareSmoothingLoss([9, 5, 2], head=0.0, tail=0.0)(LOGITS, TARGETS)
    torch.testing.assert_close(found, F.cross_entropy(LOGITS, TARGETS), rtol=1e-12, atol=0)


def test_balanced_counts_are_smoothed_by_the_head() -> None:
    found = LabelAwareSmoothingLoss([7, 7, 7], head=0.3)(LOGITS, TARGETS)
    torch.testing.assert_close(found, F.cross_entropy(LOGITS, TARGETS, label_smoothing=0.3), rtol=1e-12, atol=0)


def test_the_power_shapes_exp_alone() -> None:
    values = [LabelAwareSmoothingLoss([9, 5, 2], shape="exp", power=power)(LOGITS, TARGETS) for power in (1.0, 3.0)]
    linear = LabelAwareSmoothingLoss([9, 5, 2], shape="linear", power=3.0)
    torch.testing.assert_close(values[0], linear(LOGITS, TARGETS), rtol=1e-12, atol=0)
    found = LabelAwareSmoothingLoss([9, 5, 2], shape="exp", power=3.0).smoothing
    assert found[1].item() == pytest.approx(0.1 + 0.3 * (3 / 7) ** 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": 1.1}, r"`head` must lie in \[0, 1\], but got 1\.1"),
        ({"tail": -0.1}, r"`tail` must lie in \[0, 1\], but got -0\.1"),
        ({"shape": "round"}, "`shape` must be one of concave, linear, convex, exp, but got 'round'"),
        ({"power": 0.0}, r"`power` must be above 0, but got 0\.0"),
    ],
)
def test_bad_label_aware_smoothing_is_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LabelAwareSmoothingLoss([9, 5, 2], **arguments)  # type: ignore[arg-type]

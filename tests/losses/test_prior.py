from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lt_lightning.errors import UsageError
from lt_lightning.losses import BalancedSoftmaxLoss, LogitAdjustedLoss, VectorScalingLoss

LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], dtype=torch.float64)
TARGETS = torch.tensor([0, 2])


@pytest.mark.parametrize("name", ["BalancedSoftmaxLoss", "LogitAdjustedLoss", "VectorScalingLoss"])
def test_reference_numbers(name: str, assert_golden: Callable[[str], None]) -> None:
    assert_golden(name)


@settings(max_examples=30)
@given(st.integers(1, 5000), st.floats(0, 3))
def test_equal_counts_give_cross_entropy(count: int, tau: float) -> None:
    expected = F.cross_entropy(LOGITS, TARGETS)
    for loss in (BalancedSoftmaxLoss([count] * 3), LogitAdjustedLoss([count] * 3, tau)):
        torch.testing.assert_close(loss(LOGITS, TARGETS), expected, rtol=1e-12, atol=0)


def test_tau_0_gives_cross_entropy() -> None:
    found = LogitAdjustedLoss([900, 30, 1], tau=0.0)(LOGITS, TARGETS)
    assert torch.equal(found, F.cross_entropy(LOGITS, TARGETS))


def test_counts_serve_as_well_as_shares() -> None:
    shifted = LOGITS + torch.tensor([900.0, 30.0, 1.0], dtype=torch.float64).log()
    found = BalancedSoftmaxLoss([900, 30, 1])(LOGITS, TARGETS)
    torch.testing.assert_close(found, F.cross_entropy(shifted, TARGETS), rtol=1e-12, atol=0)


def test_the_minimum_is_the_bayes_rule_of_balanced_classes() -> None:
    # 90 and 10 images, two inputs: P(x | class) is (.6, .4) and (.3, .7), so balanced Bayes says class 1 on x = 1.
    counts = torch.tensor([[54, 36], [3, 7]])  # class, x
    x = torch.cat([torch.arange(2).repeat_interleave(row) for row in counts])
    targets = torch.arange(2).repeat_interleave(counts.sum(1))
    bayes = (counts / counts.sum(1, keepdim=True)).double().log().T.contiguous().requires_grad_()
    for loss in (BalancedSoftmaxLoss([90, 10]), LogitAdjustedLoss([90, 10])):
        (gradient,) = torch.autograd.grad(loss(bayes[x], targets), bayes)
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-8)
    (gradient,) = torch.autograd.grad(F.cross_entropy(bayes[x], targets), bayes)
    assert gradient.abs().max() > 0.1
    assert bayes.argmax(1).tolist() == [0, 1]


def test_weights_are_a_weighted_mean() -> None:
    loss = BalancedSoftmaxLoss([900, 30, 1], weight=[1.0, 2.0, 3.0])
    plain = BalancedSoftmaxLoss([900, 30, 1])
    parts = [plain(LOGITS[i : i + 1], TARGETS[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(loss(LOGITS, TARGETS), (parts[0] + 3 * parts[1]) / 4)


def test_negative_tau_is_refused() -> None:
    with pytest.raises(UsageError, match=r"`tau` must be at least 0, but got -1\.0"):
        LogitAdjustedLoss([5, 3], tau=-1.0)


def test_vector_scaling_scales_and_shifts() -> None:
    counts = torch.tensor([900.0, 30.0, 1.0], dtype=torch.float64)
    adjusted = LOGITS / (900 / counts) ** 0.2 + 0.8 * (counts / 931).log()
    found = VectorScalingLoss([900, 30, 1], gamma=0.2, tau=0.8)(LOGITS, TARGETS)
    torch.testing.assert_close(found, F.cross_entropy(adjusted, TARGETS), rtol=1e-12, atol=0)


def test_vector_scaling_without_factors_is_logit_adjustment() -> None:
    found = VectorScalingLoss([900, 30, 1], gamma=0.0, tau=0.8)(LOGITS, TARGETS)
    torch.testing.assert_close(found, LogitAdjustedLoss([900, 30, 1], tau=0.8)(LOGITS, TARGETS), rtol=1e-12, atol=0)
    found = VectorScalingLoss([900, 30, 1], gamma=0.0, tau=0.0)(LOGITS, TARGETS)
    torch.testing.assert_close(found, F.cross_entropy(LOGITS, TARGETS), rtol=1e-12, atol=0)


def test_probabilities_of_vector_scaling_are_of_the_raw_logits() -> None:
    found = VectorScalingLoss([900, 30, 1], gamma=0.5, tau=1.0).probabilities(LOGITS)
    assert torch.equal(found, LOGITS.softmax(1))


@pytest.mark.parametrize("name", ["gamma", "tau"])
def test_negative_strengths_of_vector_scaling_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=rf"`{name}` must be at least 0, but got -1\.0"):
        VectorScalingLoss([5, 3], **{name: -1.0})

import pytest
import torch
from torch.nn import functional as F

from lt_lightning.functional import one_vs_all_loss, softmax_bce_loss


def batch(n: int = 7, k: int = 5, scale: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n * k)
    logits = scale * torch.randn(n, k, generator=generator, dtype=torch.float64)
    return logits, torch.randint(k, (n,), generator=generator)


def test_one_vs_all_equals_torch() -> None:
    logits, targets = batch()
    expected = F.binary_cross_entropy_with_logits(logits, F.one_hot(targets, 5).double(), reduction="none").sum(1)
    torch.testing.assert_close(one_vs_all_loss(logits, targets), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_factor_term_by_term(gamma: float) -> None:
    logits, targets = batch()
    for row, target, found in zip(logits, targets, one_vs_all_loss(logits, targets, gamma), strict=True):
        total = 0.0
        for k, z in enumerate(row):
            p = torch.sigmoid(z) if k == target else 1 - torch.sigmoid(z)
            total += (1 - p) ** gamma * -torch.log(p)
        assert found.item() == pytest.approx(float(total), rel=1e-10)


def test_softmax_bce_equals_torch() -> None:
    logits, targets = batch()
    one_hot = F.one_hot(targets, 5).double()
    expected = F.binary_cross_entropy(logits.softmax(1), one_hot, reduction="none").sum(1)
    torch.testing.assert_close(softmax_bce_loss(logits, targets), expected, rtol=1e-11, atol=0)


def test_several_classes_per_sample_equal_torch() -> None:
    logits, _ = batch()
    labels = torch.randint(2, (7, 5), generator=torch.Generator().manual_seed(1))
    expected = F.binary_cross_entropy_with_logits(logits, labels.double(), reduction="none").sum(1)
    for targets in (labels, labels.bool(), labels.float()):
        torch.testing.assert_close(one_vs_all_loss(logits, targets), expected, rtol=1e-12, atol=0)
    assert torch.autograd.gradcheck(lambda z: one_vs_all_loss(z, labels, 2.0), logits.requires_grad_())


@pytest.mark.parametrize("target", [0, 1, 2])
def test_softmax_bce_keeps_digits_where_subtraction_has_none(target: int) -> None:
    logits = torch.tensor([[20.0, 1.0, 0.0], [500.0, 0.0, 0.0], [20.0, 20.0, -1e4]])
    targets = torch.full((3,), target)
    exact = logits.double().requires_grad_()
    p = exact.softmax(1)
    complements = torch.stack([p[:, [j for j in range(3) if j != k]].sum(1) for k in range(3)], 1)
    terms = -complements.log()
    expected = terms.sum(1) - terms[:, target] - exact.log_softmax(1)[:, target]
    torch.testing.assert_close(softmax_bce_loss(logits, targets).double(), expected.detach(), rtol=1e-6, atol=1e-30)
    found = softmax_bce_loss(logits.requires_grad_(), targets)
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    expected_gradient = torch.autograd.grad(expected.sum(), exact)[0]
    torch.testing.assert_close(gradient.double(), expected_gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("k", [2, 3, 50])
@pytest.mark.parametrize("scale", [0.1, 2.0, 12.0])
def test_fp32_equals_fp64(k: int, scale: float) -> None:
    logits, targets = batch(40, k, scale)
    for shift in (0.0, -9.0, -15.0):
        rough = (logits + shift).float()
        for function in (one_vs_all_loss, softmax_bce_loss):
            exact = function(rough.double(), targets)
            torch.testing.assert_close(function(rough, targets).double(), exact, rtol=3e-6, atol=1e-30)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_gradients_of_one_vs_all(gamma: float) -> None:
    logits, targets = batch()
    assert torch.autograd.gradcheck(lambda z: one_vs_all_loss(z, targets, gamma), logits.requires_grad_())


def test_gradients_of_softmax_bce() -> None:
    logits, targets = batch()
    assert torch.autograd.gradcheck(lambda z: softmax_bce_loss(z, targets), logits.requires_grad_())


def test_weights_of_softmax_bce() -> None:
    logits, targets = batch()
    logits[0, targets[0]] += 9.0  # right for sure
    logits[1, targets[1] - 1] += 9.0  # wrong for sure
    weights = torch.rand(7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    one_hot = F.one_hot(targets, 5).double()
    each = F.binary_cross_entropy(logits.softmax(1), one_hot, reduction="none")
    expected = torch.where(one_hot == 1, each, weights * each).sum(1)
    torch.testing.assert_close(softmax_bce_loss(logits, targets, weights), expected, rtol=1e-11, atol=0)
    assert torch.autograd.gradcheck(lambda z: softmax_bce_loss(z, targets, weights), logits.requires_grad_())


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_finite_at_extreme_logits(sign: float, gamma: float) -> None:
    logits = (sign * 1e4 * torch.eye(3)).requires_grad_()
    for targets in (torch.arange(3), (torch.arange(3) + 1) % 3):
        value = one_vs_all_loss(logits, targets, gamma).sum() + softmax_bce_loss(logits, targets).sum()
        (gradient,) = torch.autograd.grad(value, logits)
        assert bool(value.isfinite())
        assert bool(gradient.isfinite().all())

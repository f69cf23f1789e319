from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from lt_lightning.errors import UsageError
from lt_lightning.functional.softplus import sloped_softplus, softplus, with_gradient


def test_relative_error_in_fp32_is_rounding_however_low_the_logit() -> None:
    logits = torch.linspace(-80, 80, 100_001)
    exact = torch.log1p(torch.exp(-logits.double().abs())) + logits.double().clamp_min(0)
    torch.testing.assert_close(softplus(logits).double(), exact, rtol=3e-7, atol=0)


def test_fp64_is_exact() -> None:
    logits = torch.linspace(-700, 700, 10_001, dtype=torch.float64)
    exact = torch.log1p(torch.exp(-logits.abs())) + logits.clamp_min(0)
    torch.testing.assert_close(softplus(logits), exact, rtol=1e-14, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ends(dtype: torch.dtype) -> None:
    logits = torch.tensor([-torch.inf, -1e4, 0.0, 1e4, torch.inf, torch.nan], dtype=dtype)
    expected = torch.tensor([0.0, 0.0, 0.6931471805599453, 1e4, torch.inf, torch.nan], dtype=dtype)
    torch.testing.assert_close(softplus(logits), expected, equal_nan=True)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0, 3.7, 50.0])
def test_value_and_derivative(power: float) -> None:
    logits = torch.linspace(-30, 30, 301, dtype=torch.float64).requires_grad_()
    expected = torch.sigmoid(logits) ** power * F.softplus(logits, threshold=100)
    (derivative,) = torch.autograd.grad(expected.sum(), logits)
    for dtype, rtol in ((torch.float64, 1e-11), (torch.float32, 1e-6 * (1 + power))):
        found = sloped_softplus(logits.detach().to(dtype), power)
        for own, other in zip(found, (expected, derivative), strict=True):
            torch.testing.assert_close(own.double(), other.detach(), rtol=rtol, atol=1e-30)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_there_is_no_gradient_on_any_path(dtype: torch.dtype) -> None:
    logits = torch.randn(3, dtype=dtype, requires_grad=True)
    for found in (softplus(logits), *sloped_softplus(logits, 2.0)):
        assert not found.requires_grad


@pytest.mark.parametrize("power", [0.0, 0.5, 2.0, 50.0])
def test_finite_at_extreme_logits(power: float) -> None:
    for tensor in sloped_softplus(torch.tensor([-1e4, -100.0, 0.0, 100.0, 1e4]), power):
        assert bool(tensor.isfinite().all())


def test_given_gradient_is_scaled_by_what_comes_from_above() -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    gradient = torch.arange(6.0).view(2, 3)
    losses = with_gradient(logits, torch.tensor([5.0, 7.0]), gradient)
    assert losses.tolist() == [5.0, 7.0]
    (losses * torch.tensor([2.0, -1.0])).sum().backward()
    torch.testing.assert_close(logits.grad, gradient * torch.tensor([[2.0], [-1.0]]))
    logits.grad = None
    (3 * with_gradient(logits, torch.tensor(5.0), gradient)).backward()
    torch.testing.assert_close(logits.grad, 3 * gradient)


@pytest.mark.parametrize("above", [torch.sum, lambda losses: (losses * losses.exp()).sum()])
def test_a_second_derivative_is_refused(above: Callable[[torch.Tensor], torch.Tensor]) -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    value = above(with_gradient(logits, torch.zeros(2), torch.ones(2, 3)))
    torch.autograd.grad(value, logits, retain_graph=True)
    with pytest.raises(UsageError, match="differentiable once"):
        torch.autograd.grad(value, logits, create_graph=True)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by dynamo of torch 2.9
def test_a_compiled_step_has_the_same_gradient() -> None:
    def step(logits: torch.Tensor) -> torch.Tensor:
        return with_gradient(logits, logits.detach().square().sum(dim=1), 2 * logits.detach()).sum()

    logits = torch.arange(6.0).view(2, 3).requires_grad_()
    torch.compile(step, fullgraph=True, backend="eager")(logits).backward()
    torch.testing.assert_close(logits.grad, 2 * logits.detach())

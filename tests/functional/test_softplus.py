import pytest
import torch
from torch.nn import functional as F

from lt_lightning.functional.softplus import sloped_softplus, softplus


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

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lt_lightning.functional import focal_factor, influence
from lt_lightning.functional.sample_weights import wrongness


@settings(max_examples=20)
@given(st.floats(1e-3, 1 - 1e-6), st.floats(0, 5))
def test_factor_is_a_power_of_what_is_missing(p: float, gamma: float) -> None:
    losses = torch.tensor([-math.log(p)], dtype=torch.float64)
    assert focal_factor(losses, gamma).item() == pytest.approx((1 - p) ** gamma, rel=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_is_finite_up_to_certainty(gamma: float, dtype: torch.dtype) -> None:
    tiny = torch.finfo(dtype).tiny
    losses = torch.tensor([0.0, tiny / 4, tiny, 4 * tiny, 1e-20, 1.0, 1e4], dtype=dtype, requires_grad=True)
    (focal_factor(losses, gamma) * losses).sum().backward()
    assert bool(losses.grad.isfinite().all())


def test_small_losses_keep_their_digits() -> None:
    assert wrongness(torch.tensor([1e-12])).item() == pytest.approx(1e-12, rel=1e-6, abs=0)


def test_influence_is_the_norm_of_the_gradient_by_the_classifier() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    weight = torch.randn(3, 4, generator=generator, dtype=torch.float64).requires_grad_()
    targets = torch.tensor([0, 2, 1, 1, 0])
    losses = F.cross_entropy(features @ weight.T, targets, reduction="none")
    found = influence(losses, features)
    for i in range(5):
        (gradient,) = torch.autograd.grad(losses[i], weight, retain_graph=True)
        torch.testing.assert_close(found[i], gradient.abs().sum(), rtol=1e-12, atol=0)


def test_influence_has_the_dtype_of_the_losses() -> None:
    assert influence(torch.ones(2), torch.ones(2, 3, dtype=torch.float64)).dtype == torch.float32

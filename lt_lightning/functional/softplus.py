"""Softplus, the loss of a single sigmoid, with hand-written derivatives."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lt_lightning.errors import UsageError


def refuse_second_derivative() -> None:
    """Called where a gradient written by hand is handed on, as autograd would take it for a constant.

    torch's ``once_differentiable`` refuses only where what comes from above has a graph too, which a scalar loss's own
    derivative, 1, never has.

    Raises:
        UsageError: If a graph of the gradient is asked for.
    """
    if torch.is_grad_enabled():  # in a backward pass: `create_graph=True`
        raise UsageError(
            "`create_graph=True` (a gradient penalty, a Hessian) asks for a graph of the gradient, which is written by "
            "hand: this loss is differentiable once only; leave it out, or write the loss in torch's own operations, "
            "such as `torch.nn.functional.binary_cross_entropy_with_logits`."
        )


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, losses: Tensor, gradient: Tensor) -> Tensor:  # noqa: ARG004
        ctx.save_for_backward(gradient)
        return losses.view_as(losses)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        refuse_second_derivative()
        (gradient,) = ctx.saved_tensors
        factor = upstream[0].unsqueeze(1) if upstream[0].dim() else upstream[0]
        return gradient * factor, None, None


def with_gradient(logits: Tensor, losses: Tensor, gradient: Tensor) -> Tensor:
    """``losses``, differentiable in ``logits`` with a gradient that is known already; once only.

    The one-vs-all losses share every exponential between value and gradient. Autograd would recompute or keep them:
    torch's own ``binary_cross_entropy_with_logits`` costs 5 to 20 cross entropies at K of 1000 and more, these forms 1
    to 3 (``benchmarks/losses.py``).

    Args:
        logits: ``(N, K)``.
        losses: Of each sample, ``(N,)``, or of the batch, a scalar.
        gradient: Of each sample's loss with respect to its own logits, or of the batch's loss, ``(N, K)``.

    Returns:
        ``losses``. A backward pass with ``create_graph=True`` raises a :class:`UsageError`.
    """
    result: Tensor = _WithGradient.apply(logits, losses, gradient)
    return result


@torch.no_grad()
def softplus(logits: Tensor) -> Tensor:
    """``log(1 + e^z)``, which is ``-log(1 - sigmoid(z))``, to rounding relative to itself, however low ``z`` is.

    Args:
        logits: Any shape, fp32 or fp64.

    Returns:
        Of the same shape, without gradient: :func:`sloped_softplus` has the derivative.
    """
    if logits.dtype != torch.float32 or logits.device.type != "cpu":
        return -F.logsigmoid(-logits)
    # log1p, inside every form that torch offers, takes 17 times as long as exp or log in its CPU build. With
    # u = e^-|z| and w the rounded 1 + u, log w + (u - (w - 1)) is log(1 + u) to 2e-7 relative: both differences are
    # exact. Without the second term a sum over thousands of classes with low logits loses its digits.
    small = logits.abs().neg_().exp_()
    rounded = small + 1
    result = rounded.log()
    result.add_(small.sub_(rounded.sub_(1)))
    return result.add_(torch.clamp(logits, min=0, out=rounded))


@torch.no_grad()
def sloped_softplus(logits: Tensor, power: float = 0.0) -> tuple[Tensor, Tensor]:
    """``sigmoid(z)^r softplus(z)`` and its derivative, ``sigmoid(z)^r (sigmoid(z) + r (1 - sigmoid(z)) softplus(z))``.

    Plain softplus and sigmoid for r = 0; with r > 0 the focal factor, or soft selection.

    Args:
        logits: Any shape, fp32 or fp64.
        power: r, at least 0.

    Returns:
        Two tensors of that shape, without gradient: :func:`with_gradient` puts them together.
    """
    value, slope = softplus(logits), logits.sigmoid()
    if power == 0:
        return value, slope
    derivative = torch.addcmul(value, slope, value, value=-1)
    torch.add(slope, derivative, alpha=power, out=derivative)
    factor = slope.pow_(power)
    return value.mul_(factor), derivative.mul_(factor)

"""Gradients that are written by hand."""

from typing import Any

import torch
from torch import Tensor

from lt_lightning.errors import UsageError


def refuse_second_derivative() -> None:
    """Refuse a graph of a gradient written by hand, which autograd would take for a constant.

    torch's ``once_differentiable`` raises only if the incoming gradient has a graph, which a scalar loss's own, 1,
    never has.

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
    """``losses``, differentiable in ``logits``, once only, with a gradient that is known already.

    The one-vs-all losses share every exponential between value and gradient. Autograd would recompute or keep them:
    torch's own ``binary_cross_entropy_with_logits`` costs 5 to 20 cross entropies at K of 1000 and more, these forms 1
    to 3 (``benchmarks/losses.py``).

    Args:
        logits: ``(N, K)``.
        losses: Of each sample, ``(N,)``, or of the batch, a scalar.
        gradient: Of each sample's loss with respect to its own logits, or of the batch's loss, ``(N, K)``.

    Returns:
        ``losses``. A backward pass with ``create_graph=True`` raises a :class:`UsageError`; not under ``torch.func``,
        whose transforms raise torch's own error.
    """
    result: Tensor = _WithGradient.apply(logits, losses, gradient)
    return result

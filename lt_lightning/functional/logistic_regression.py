"""Multinomial logistic regression: the linear classifier of least cross entropy, found without a learning rate."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from lt_lightning.errors import UsageError, check_above_0
from lt_lightning.functional.precision import at_least_fp32, widest_float

_ROWS = 8192
"""Images per product: K = 8142 logits of these are 267 MB in fp32."""
_MEMORY = 10  # pairs of steps that L-BFGS keeps, as SciPy's does
_GRADIENT, _LEAST_GRADIENT = 1e-5, 1e-7
"""Largest entry of the gradient at which it ends, and the least that rounding of fp32 lets it reach."""
_CHANGE = 1e-12  # of the objective, below which it ends
_FAR = 1e-4  # of the gradient, from which on a warning is due: where scikit-learn's solver ends


class LinearFit(NamedTuple):
    """A linear classifier, ``logits = features @ weight.T + bias``."""

    weight: Tensor
    """``(K, D)``."""
    bias: Tensor
    """``(K,)``."""


class Standardization(NamedTuple):
    """Makes each feature's mean 0 and its standard deviation 1, so that one penalty suits all of them."""

    mean: Tensor
    """``(D,)``."""
    deviation: Tensor
    """``(D,)``; 1 for a feature that does not vary."""

    def folded(self, fit: LinearFit) -> LinearFit:
        """The classifier of raw features that equals ``fit`` on standardised ones."""
        weight = fit.weight / self.deviation
        return LinearFit(weight, fit.bias - weight @ self.mean)

    def unfolded(self, fit: LinearFit) -> LinearFit:
        """The classifier of standardised features that equals ``fit`` on raw ones."""
        return LinearFit(fit.weight * self.deviation, fit.bias + fit.weight @ self.mean)


def standardization(features: Tensor) -> Standardization:
    """Mean and standard deviation of each feature.

    Args:
        features: ``(N, D)``, in any type and on any device; they are read in parts.

    Raises:
        UsageError: If there are none, or one is not finite.
    """
    if features.ndim != 2 or not len(features):
        raise UsageError(f"`features` must have shape (N, D) with N above 0, but got {tuple(features.shape)}.")
    wide = widest_float(features.device)
    parts = [(part.to(wide).sum(dim=0), part.to(wide).square().sum(dim=0)) for part in torch.split(features, _ROWS)]
    mean, square = (torch.stack(sums).sum(dim=0) / len(features) for sums in zip(*parts, strict=True))
    if not bool((mean.isfinite() & square.isfinite()).all()):
        raise UsageError("`features` must be finite, but some are not; look at the backbone that gave them.")
    deviation = (square - mean.square()).clamp_min(0).sqrt()
    # Rounding leaves a constant feature a tiny deviation, which must not be scaled up to 1. It is held against that of
    # most features, not against the largest: one feature of a huge scale says nothing about the others.
    constant = deviation <= 1e-6 * (mean.abs() + deviation.median())
    kind = at_least_fp32(features[:0]).dtype
    return Standardization(mean.to(kind), deviation.masked_fill(constant, 1.0).to(kind))


def fit_logistic_regression(
    features: Tensor,
    targets: Tensor,
    num_classes: int,
    l2: float,
    start: LinearFit | None = None,
    scaling: Standardization | None = None,
    device: torch.device | None = None,
    max_iterations: int = 500,
    on_part: Callable[[float], None] | None = None,
) -> LinearFit:
    """The minimum of the mean cross entropy plus ``l2 / 2`` times the squared weights of standardised features.

    The problem is convex, so nothing depends on a seed, on the order of images or on a learning rate. L-BFGS finds the
    minimum with all images in each step; the bias is not penalised.

    Args:
        features: ``(N, D)``, anywhere; rows go to ``device`` in parts. Computed in at least fp32.
        targets: ``(N,)``, int64.
        num_classes: K; a class need not have an image.
        l2: Penalty, above 0: without one, separable classes have no minimum.
        start: Where to begin, such as the fit of a larger penalty; else at the class frequencies.
        scaling: Of :func:`standardization`; computed if not given.
        device: Where to compute; by default where ``features`` are.
        max_iterations: Steps of L-BFGS at most; a warning says if they end far from the minimum.
        on_part: Called after each part of a pass over the features, with its share of them, for a progress bar.

    Returns:
        The classifier of raw features, standardisation folded in, on ``device``.

    Raises:
        UsageError: If ``l2`` is not above 0, a target is no class, or ``features`` are none or not finite.
    """
    check_above_0(l2=l2)
    if not len(targets) or int(targets.min()) < 0 or int(targets.max()) >= num_classes:
        raise UsageError(f"`targets` must be classes from 0 to {num_classes - 1}, one at least.")
    scaling = scaling or standardization(features)
    device = device or features.device
    # Tensors made in inference mode take no part in optimisation, and autocast would round what is summed here.
    with torch.inference_mode(False), torch.autocast(device.type, enabled=False):
        scaling = Standardization(*(each.to(device).clone() for each in scaling))
        kind = scaling.mean.dtype
        if start is None:
            counts = torch.bincount(targets, minlength=num_classes).clamp_min(0.5)
            weight = torch.zeros(num_classes, features.shape[1], dtype=kind, device=device)
            begin = LinearFit(weight, (counts / len(targets)).log().to(device, kind))
        else:
            begin = scaling.unfolded(LinearFit(*(each.detach().to(device, kind).clone() for each in start)))
        return scaling.folded(_minimum(begin, features, targets, scaling, l2, max_iterations, on_part))


def _minimum(
    start: LinearFit,
    features: Tensor,
    targets: Tensor,
    scaling: Standardization,
    l2: float,
    max_iterations: int,
    on_part: Callable[[float], None] | None,
) -> LinearFit:
    """The classifier of standardised features."""

    def rows() -> Iterator[tuple[Tensor, Tensor]]:
        for part, own in zip(torch.split(features, _ROWS), torch.split(targets, _ROWS), strict=True):
            moved = part.to(scaling.mean.device, scaling.mean.dtype)
            yield (moved - scaling.mean) / scaling.deviation, own.to(moved.device)
            if on_part is not None:
                on_part(len(own) / len(targets))

    fit = LinearFit(*(each.requires_grad_() for each in start))
    optimizer = torch.optim.LBFGS(
        fit,
        max_iter=max_iterations,
        max_eval=2 * max_iterations,  # a step takes a little more than one
        history_size=_MEMORY,
        # The penalty alone holds weights that tell no classes apart: off their minimum by the gradient over `l2`.
        tolerance_grad=min(_GRADIENT, max(0.01 * l2, _LEAST_GRADIENT)),
        tolerance_change=_CHANGE,
        line_search_fn="strong_wolfe",
    )

    @torch.no_grad()
    def closure() -> Tensor:
        return _objective(fit, rows, len(targets), l2)

    cast(Any, optimizer).step(closure)  # annotated for closures that return floats
    closure()  # the last pass may have been a trial of the line search
    left = max(float(cast(Tensor, each.grad).abs().max()) for each in fit)
    if left > _FAR:
        warnings.warn(
            f"The classifier of `l2` {l2:g} is off its minimum: L-BFGS ended at a gradient of {left:.0e} in "
            f"{optimizer.state[fit.weight]['n_iter']} steps; a larger penalty needs fewer.",
            stacklevel=3,
        )
    return LinearFit(*(each.detach() for each in fit))


def _objective(fit: LinearFit, rows: Callable[[], Iterator[tuple[Tensor, Tensor]]], number: int, l2: float) -> Tensor:
    """The objective; its gradients go to ``grad``, by hand, as autograd would keep the logits of all images."""
    weight, bias = fit
    weight.grad, bias.grad = l2 * weight, torch.zeros_like(bias)
    loss = (l2 / 2 * weight.square().sum()).to(widest_float(weight.device))
    for features, targets in rows():
        logs = torch.log_softmax(torch.addmm(bias, features, weight.t()), dim=1)
        own = targets.unsqueeze(1)
        loss -= logs.gather(1, own).sum(dtype=loss.dtype) / number
        slopes = logs.exp_().scatter_add_(1, own, torch.full_like(own, -1, dtype=logs.dtype)) / number
        weight.grad.addmm_(slopes.t(), features)
        bias.grad += slopes.sum(dim=0)
    return loss

"""Temperature scaling: one number that makes confidences honest and changes no prediction."""

import math

import torch
from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.functional.device import widest_float

LOWEST, HIGHEST = 0.01, 100.0
"""Where temperatures end: one that separable or meaningless logits would drive to 0 or infinity stops here."""

_STEPS = 100
_TOLERANCE = 1e-10  # of log T; Newton's last step from 1e-5 is smaller than that


def fit_temperature(logits: Tensor, targets: Tensor, one_vs_all: bool = False) -> float:
    """The temperature T whose ``logits / T`` have the least negative log-likelihood.

    The likelihood is convex in 1 / T, so there is one minimum: Newton's steps on log T find it, each kept inside a
    bracket that shrinks by its slope's sign. All in fp64, where the device has it.

    Args:
        logits: ``(N, K)``, of images that trained nothing; whatever the loss multiplies them by is multiplied already.
        targets: ``(N,)``, int64.
        one_vs_all: Whether probabilities are one sigmoid per class, instead of a softmax.

    Returns:
        T in [0.01, 100]; 1 where no other is better, so the likelihood of what was given never falls.

    Raises:
        UsageError: If there is no logit, shapes differ, or a logit is not finite.

    References:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2, eq. (9).
    """
    if logits.ndim != 2 or logits.numel() == 0 or targets.shape != logits.shape[:1]:
        raise UsageError(
            f"`logits` must have shape (N, K) and `targets` (N,), with N and K above 0, but got {tuple(logits.shape)} "
            f"and {tuple(targets.shape)}."
        )
    logits = logits.detach().to(widest_float(logits.device))
    if not bool(logits.isfinite().all()):
        raise UsageError("`logits` must be finite, but some are not; look at the model that gave them.")
    low, high = -math.log(HIGHEST), -math.log(LOWEST)  # of log(1 / T), in which the slope's sign changes once
    place = 0.0
    for _ in range(_STEPS):
        slope, curvature = _derivatives(logits, targets, math.exp(place), one_vs_all)
        low, high = (place, high) if slope < 0 else (low, place)
        step = slope / curvature if curvature > 0 else math.inf
        following = place - step if low < place - step < high else (low + high) / 2
        moved, place = abs(following - place), following
        if moved < _TOLERANCE:
            break
    found = math.exp(-place)
    better = _likelihood(logits / found, targets, one_vs_all) < _likelihood(logits, targets, one_vs_all)
    return found if better else 1.0


def negative_log_likelihood(
    logits: Tensor, targets: Tensor, temperature: float = 1.0, one_vs_all: bool = False
) -> float:
    """What :func:`fit_temperature` minimises, mean over images, in nats.

    Args:
        logits: ``(N, K)``.
        targets: ``(N,)``, int64.
        temperature: Divides the logits.
        one_vs_all: Whether it is the sum over classes of each one's sigmoid, instead of a softmax's.
    """
    return _likelihood(logits.to(widest_float(logits.device)) / temperature, targets, one_vs_all)


def _likelihood(logits: Tensor, targets: Tensor, one_vs_all: bool) -> float:
    own = logits.gather(1, targets.unsqueeze(1)).squeeze(1)
    if one_vs_all:
        return float((torch.nn.functional.softplus(logits).sum(dim=1) - own).mean())
    return float((logits.logsumexp(dim=1) - own).mean())


def _derivatives(logits: Tensor, targets: Tensor, inverse: float, one_vs_all: bool) -> tuple[float, float]:
    """First and second derivative of the likelihood by log(1 / T), mean over images."""
    own = logits.gather(1, targets.unsqueeze(1)).squeeze(1)
    if one_vs_all:
        probabilities = torch.sigmoid(logits * inverse)
        expected = (probabilities * logits).sum(dim=1)
        variance = (probabilities * (1 - probabilities) * logits.square()).sum(dim=1)
    else:
        probabilities = torch.softmax(logits * inverse, dim=1)
        expected = (probabilities * logits).sum(dim=1)
        variance = (probabilities * (logits - expected.unsqueeze(1)).square()).sum(dim=1)
    slope, curvature = float((expected - own).mean()), float(variance.mean())
    return slope * inverse, curvature * inverse**2 + slope * inverse

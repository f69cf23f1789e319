"""Temperature scaling: one number that makes confidences honest and changes no prediction."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.functional.precision import widest_float

LOWEST, HIGHEST = 0.01, 1e6
"""Bounds of the temperature, which separable or meaningless logits would drive to 0 or infinity.

High ones occur: 400 was best after training on unscaled logits at a high learning rate. Low ones come from separable
logits; going lower would only make mistakes on other images more confident. The search ends sooner where the likelihood
is 1 to rounding, so that it cannot rise.
"""

_STEPS = 100
_TOLERANCE = 1e-7  # of log T: about what fp32 tells apart
_FLAT = 1e-16  # a slope at which the likelihood no longer rises: that of separable logits is 1 to rounding
_ENTRIES = 2**18  # logits at a time: 2 MB in fp64 stay in a cache; copies of all of them may not fit a memory


def fit_temperature(logits: Tensor, targets: Tensor, one_vs_all: bool = False) -> float:
    """The temperature T whose ``logits / T`` have the least negative log-likelihood.

    The likelihood is convex in 1 / T, so there is one minimum: Newton's steps on log T find it, each kept inside a
    bracket that shrinks by its slope's sign. Steps take exponentials in fp32, which is good for six digits of T; the
    likelihoods that judge it are in fp64, where the device has it. All in parts: no copy of all logits is made.

    Args:
        logits: ``(N, K)``, of images not trained on, already multiplied by the loss's ``logit_scale``.
        targets: ``(N,)``, int64.
        one_vs_all: Whether probabilities are one sigmoid per class, instead of a softmax.

    Returns:
        T in [0.01, 1e6]; 1 where no other is better, so the likelihood of these logits never falls.

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
    logits = logits.detach()
    if not all(bool(part.isfinite().all()) for _, part in _parts(logits, targets, one_vs_all)):
        raise UsageError("`logits` must be finite, but some are not; look at the model that gave them.")
    low, high = -math.log(HIGHEST), -math.log(LOWEST)  # of log(1 / T), in which the slope's sign changes once
    place = 0.0
    for _ in range(_STEPS):
        slope, curvature = _derivatives(logits, targets, math.exp(place), one_vs_all)
        if abs(slope) < _FLAT:
            break
        low, high = (place, high) if slope < 0 else (low, place)
        step = slope / curvature if curvature > 0 else math.inf
        following = place - step if low < place - step < high else (low + high) / 2
        moved, place = abs(following - place), following
        if moved < _TOLERANCE:
            break
    found = math.exp(-place)
    before, after = (negative_log_likelihood(logits, targets, each, one_vs_all) for each in (1.0, found))
    return found if after < before else 1.0


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
    found = _number_of_each(logits)
    for place, part in _parts(logits, targets, one_vs_all):
        part = part / temperature
        found[place] = torch.nn.functional.softplus(part).sum(dim=1) if one_vs_all else part.logsumexp(dim=1)
    return float(found.mean())


def _derivatives(logits: Tensor, targets: Tensor, inverse: float, one_vs_all: bool) -> tuple[float, float]:
    """First and second derivative of the likelihood by log(1 / T), mean over images."""
    slopes, variances = _number_of_each(logits), _number_of_each(logits)
    for place, part in _parts(logits, targets, one_vs_all):
        part = part.float()
        if one_vs_all:
            probabilities = torch.sigmoid(part * inverse)
            weighted = probabilities * part
            slopes[place] = weighted.sum(dim=1)
            variances[place] = (weighted * (1 - probabilities) * part).sum(dim=1)
        else:
            weighted = torch.softmax(part * inverse, dim=1) * part
            expected = weighted.sum(dim=1)
            slopes[place] = expected
            variances[place] = (weighted * part).sum(dim=1) - expected.square()
    slope, curvature = float(slopes.mean()), float(variances.mean())
    return slope * inverse, curvature * inverse**2 + slope * inverse


def _number_of_each(logits: Tensor) -> Tensor:
    """Room for one number per image; small tensors kept from each part would fragment the memory of large ones."""
    return logits.new_empty(len(logits), dtype=widest_float(logits.device))


def _parts(logits: Tensor, targets: Tensor, one_vs_all: bool) -> Iterator[tuple[slice, Tensor]]:
    """Images part by part: their place, and their logits in the widest type, changed so as to need no target.

    For a softmax the target's logit is subtracted, so that offsets cost no digits: the loss is the log-sum-exp. For
    sigmoids the target's sign is flipped, as softplus(z) - z = softplus(-z): the loss is the sum of softplus.
    """
    rows = max(1, _ENTRIES // logits.shape[1])
    for start in range(0, len(logits), rows):
        place = slice(start, start + rows)
        part, own = logits[place].to(widest_float(logits.device)), targets[place].unsqueeze(1)
        of_target = part.gather(1, own)
        yield place, part.scatter(1, own, -of_target) if one_vs_all else part - of_target

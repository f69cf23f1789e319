"""How sure a difference between classifiers is: both judged on the same test images, drawn anew many times."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.functional.device import widest_float

_CHUNK = 2**21  # draws at a time: 16 MB of places


@dataclass(frozen=True)
class Difference:
    """Differences in accuracy, mean over classes, of M classifiers to another one.

    Attributes:
        mean: As found, ``(M,)``.
        low: Lower end of the confidence interval, ``(M,)``.
        high: Upper end, ``(M,)``.
        p_value: Two-sided: how often a difference drawn anew has the other sign, times two, ``(M,)``.
    """

    mean: Tensor
    low: Tensor
    high: Tensor
    p_value: Tensor


def paired_bootstrap(
    scores: Tensor, reference: Tensor, targets: Tensor, draws: int = 2000, confidence: float = 0.95, seed: int = 0
) -> Difference:
    """Paired bootstrap over test images of the difference in accuracy, mean over classes.

    Images are drawn within their class, as many as it has: the mean is over classes, so the number of a class's images
    is part of the test, not of chance. All M classifiers are judged on the same draws. Chance in training is no part of
    it, beyond the seeds that the scores are means of.

    Args:
        scores: Of each classifier and image, ``(M, N)``: 1 or 0 for right or wrong, or a mean of that over seeds.
        reference: The same of what they are compared with, ``(N,)``, or ``(M, N)``.
        targets: Class of each image, ``(N,)``, int64.
        draws: Number of test sets drawn.
        confidence: Share of the draws that the interval holds.
        seed: Of the draws.

    Returns:
        Differences, intervals by percentiles, and p-values, which are at least ``2 / (draws + 1)`` unless 1 is less.

    Raises:
        UsageError: If there is no image, or a number is out of range.

    References:
        Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13.
    """
    if targets.numel() == 0 or scores.shape[-1:] != targets.shape:
        raise UsageError(
            f"`scores` must have shape (M, N) and `targets` (N,), with N above 0, but got {tuple(scores.shape)} and "
            f"{tuple(targets.shape)}."
        )
    if draws < 1 or not 0 < confidence < 1:
        raise UsageError(f"`draws` must be at least 1 and `confidence` in (0, 1), but got {draws} and {confidence}.")
    order = torch.argsort(targets, stable=True)
    totals = torch.bincount(targets)
    sizes = totals[targets[order]]
    first = (torch.cumsum(totals, 0) - totals)[targets[order]]
    dtype = widest_float(scores.device)
    # Each image's part in the mean over classes; images of a class have equal parts.
    share = 1 / (sizes * (totals > 0).sum()).to(dtype)
    gains = (scores.to(dtype) - reference.to(dtype))[:, order] * share
    generator = torch.Generator(scores.device).manual_seed(seed)
    found = []
    per_chunk = max(1, _CHUNK // len(order))
    for start in range(0, draws, per_chunk):
        number = min(per_chunk, draws - start)
        uniform = torch.rand(number, len(order), generator=generator, device=scores.device, dtype=torch.float32)
        # fp32 may round up to the class's number of images
        places = first + torch.minimum((uniform * sizes).long(), sizes - 1)
        times = torch.zeros(number, len(order), dtype=dtype, device=scores.device)
        times.scatter_add_(1, places, torch.ones_like(times))
        found.append(times @ gains.t())
    drawn = torch.cat(found).sort(dim=0).values
    low, high = (_percentile(drawn, tail) for tail in ((1 - confidence) / 2, (1 + confidence) / 2))
    below, above = ((drawn <= 0).sum(dim=0), (drawn >= 0).sum(dim=0))
    p_value = (2 * (torch.minimum(below, above) + 1) / (draws + 1)).clamp_max(1.0)
    return Difference(gains.sum(dim=1), low, high, p_value.to(dtype))


def _percentile(ordered: Tensor, share: float) -> Tensor:
    """As ``torch.quantile``, which takes 16 million numbers at most: ``(draws, M)``, sorted, to ``(M,)``."""
    place = share * (len(ordered) - 1)
    below = int(place)
    return torch.lerp(ordered[below], ordered[min(below + 1, len(ordered) - 1)], place - below)

"""Logits: the top class, and Logits Magnitude and Regularized Standard Deviation from sums that add and merge."""

from typing import NamedTuple

import torch
from torch import Tensor

from lt_lightning.functional.precision import outside_autocast

BLOCK = 128
"""Classes per block of :func:`top_class`; 64 to 256 are as fast."""

CHUNK = 2**19
"""Entries that :func:`logit_moments` works on at a time, so that they stay in a processor's cache."""


def top_class(values: Tensor) -> Tensor:
    """``values.argmax(dim=1)``, several times faster where there are many classes.

    torch vectorises a row's maximum on a processor, but not its position. So the maximum of each block of classes is
    taken first, and positions are looked for among blocks, then within one (at K = 8142 a quarter of argmax's time).

    Args:
        values: Logits or probabilities, ``(N, K)``.

    Returns:
        ``(N,)``, int64; the first of equal classes.
    """
    if values.shape[1] < 4 * BLOCK or values.device.type != "cpu":
        return values.argmax(dim=1)
    # The last block may be short: it is read together with the end of the one before, where nothing is as large.
    start = (block_maxima(values, BLOCK).argmax(dim=1) * BLOCK).clamp_max(values.shape[1] - BLOCK)
    block = values.gather(1, start.unsqueeze(1) + torch.arange(BLOCK, device=values.device))
    return start + block.argmax(dim=1)


def block_maxima(values: Tensor, block: int) -> Tensor:
    """Maximum of each ``block`` classes in a row, the last maybe of fewer: ``(N, K)`` to ``(N, ceil(K / block))``."""
    whole = values.shape[1] // block * block
    maxima = [values[:, :whole].view(len(values), whole // block, block).amax(dim=2)]
    if whole < values.shape[1]:
        maxima.append(values[:, whole:].amax(dim=1, keepdim=True))
    return torch.cat(maxima, dim=1)


class Moments(NamedTuple):
    """Sums over a batch of logits, as they are and with each row's mean removed."""

    sums: Tensor
    """``(2, K)``: sum of each column, raw and centred."""

    squares: Tensor
    """``(2, K)``: sum of each column's squares, raw and centred."""

    row_means: Tensor
    """``(N,)``: mean of each row."""


@torch.no_grad()
def logit_moments(values: Tensor, dtype: torch.dtype) -> Moments:
    """Sums and sums of squares of columns, raw and centred, exact to rounding however far from 0 the means are.

    Each entry is taken relative to its column's first entry and to its row's mean, in its own precision; only the K
    results are moved back, in ``dtype``. Results therefore add over batches and processes, which need not agree on an
    origin. The raw sums follow from the centred ones, ``Σ(c + m)² = Σc² + 2Σcm + Σm²``, so the batch is read once. Sums
    are products with vectors: three times as fast as reductions on a processor, and never in TF32.

    Args:
        values: ``(N, K)``, N at least 1.
        dtype: Of the results; fp64 where there is one.
    """
    number, classes = values.shape
    pivot = values[0]
    ones_n, ones_k = values.new_ones(number), values.new_ones(classes)
    first, second, mixed = values.new_zeros(3, classes).unbind()
    means = []
    rows = max(1, CHUNK // classes)
    with outside_autocast(values):
        for start in range(0, number, rows):
            rest = values[start : start + rows] - pivot
            mean = rest.mv(ones_k) / classes
            rest -= mean.unsqueeze(1)
            ones = ones_n[: len(rest)]
            first.addmv_(rest.t(), ones)
            mixed.addmv_(rest.t(), mean)
            second.addmv_(rest.square_().t(), ones)
            means.append(mean)
    shift, origin = torch.cat(means).to(dtype), pivot.to(dtype)
    first, second, mixed = first.to(dtype), second.to(dtype), mixed.to(dtype)
    sums = torch.stack((first + shift.sum(), first))
    squares = torch.stack((second + 2 * mixed + shift.square().sum(), second))
    origins = torch.stack((origin, origin - origin.mean()))
    return Moments(sums + number * origins, squares + origins * (2 * sums + number * origins), shift + origin.mean())


def own_sums(values: Tensor, targets: Tensor, row_means: Tensor) -> Tensor:
    """Sum, for each class i, of column i over the samples of class i, raw and centred.

    Args:
        values: ``(N, K)``.
        targets: ``(N,)``, int64.
        row_means: Mean of each row, ``(N,)``; results are in its precision.

    Returns:
        ``(2, K)``; 0 for a class without samples.
    """
    own = values.gather(1, targets.unsqueeze(1)).squeeze(1).to(row_means.dtype)
    both = torch.stack((own, own - row_means))
    return both.new_zeros(2, values.shape[1]).index_add_(1, targets, both)


def logits_magnitude(sums: Tensor, own_sums: Tensor, total: Tensor) -> Tensor:
    """Mean of logit i over the samples of class i minus its mean over all other samples.

    Args:
        sums: Sum of each logit over all samples, ``(..., K)``.
        own_sums: Sum of logit i over the samples of class i, ``(..., K)``.
        total: Samples of each class, ``(K,)``.

    Returns:
        ``(..., K)``; NaN for a class without samples, or with all of them.

    References:
        "Rethinking Classifier Re-Training in Long-Tailed Recognition" (LORT), Definition 1.
    """
    others = total.sum() - total
    # A sum less all of its terms leaves rounding, not 0, which divided by 0 would be infinite.
    rest = torch.where(others > 0, (sums - own_sums) / others, torch.nan)
    return own_sums / total - rest


def standard_deviation(sums: Tensor, squares: Tensor, number: Tensor) -> Tensor:
    """Population standard deviation from a sum, a sum of squares and a number of samples, element by element."""
    mean = sums / number
    return (squares / number - mean.square()).clamp_min(0.0).sqrt()

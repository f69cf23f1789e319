"""Logits Magnitude and Regularized Standard Deviation, from sums that can be accumulated and merged."""

import torch
from torch import Tensor


def column_moments(values: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Sum and sum of squares of each column, exact to rounding even where the mean is far larger than the spread.

    The batch is summed relative to its own first row, in its own precision; only the K results are moved back to the
    origin, in ``dtype``. Results therefore add over batches and processes, which need not agree on an origin.

    Args:
        values: ``(N, K)``, N at least 1.
        dtype: Of the results; fp64 where there is one.

    Returns:
        Two tensors ``(K,)``.
    """
    pivot = values[0].to(dtype)
    offsets = values - values[0]
    first = offsets.sum(dim=0).to(dtype)
    second = offsets.square_().sum(dim=0).to(dtype)
    return first + len(values) * pivot, second + pivot * (2 * first + len(values) * pivot)


def own_moments(values: Tensor, targets: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Sum and sum of squares, for each class i, of column i over the samples of class i.

    Args:
        values: ``(N, K)``.
        targets: ``(N,)``, int64.
        dtype: Of the results; fp64 where there is one.

    Returns:
        Two tensors ``(K,)``; 0 for a class without samples.
    """
    own = values.gather(1, targets.unsqueeze(1)).squeeze(1).to(dtype)
    zeros = torch.zeros(values.shape[1], dtype=dtype, device=values.device)
    return zeros.index_add(0, targets, own), zeros.index_add(0, targets, own.square())


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
    # What is left of a sum after subtracting all of it is rounding, not 0: divided by 0 it would be infinite.
    rest = torch.where(others > 0, (sums - own_sums) / others, torch.nan)
    return own_sums / total - rest


def standard_deviation(sums: Tensor, squares: Tensor, number: Tensor) -> Tensor:
    """Population standard deviation from a sum, a sum of squares and a number of samples, element by element."""
    mean = sums / number
    return (squares / number - mean.square()).clamp_min(0.0).sqrt()

"""What class counts say: log priors and the weights that follow from them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lt_lightning.functional.precision import widest_float


def as_counts(class_counts: Sequence[int] | Tensor) -> Tensor:
    """Class counts as a tensor ``(K,)``, on the device they are on, in fp64 (fp32 where the device has none)."""
    counts = class_counts if isinstance(class_counts, Tensor) else torch.tensor(class_counts)
    return counts.to(widest_float(counts.device))


def log_prior(class_counts: Sequence[int] | Tensor) -> Tensor:
    """Log of each class's share of the training images, ``log(n_c / Σ n)``.

    Args:
        class_counts: Training images per class, ``(K,)``, each at least 1.

    Returns:
        ``(K,)``, as :func:`as_counts` gives them.
    """
    counts = as_counts(class_counts)
    return torch.log(counts / counts.sum())


def class_balanced_weights(class_counts: Sequence[int] | Tensor, beta: float) -> Tensor:
    """Weights by the effective number of samples, ``(1 - β) / (1 - β^n)``, scaled to sum to K.

    Computed as ``1 / -expm1(n log β)`` in fp64: in fp32 ``1 - β^n`` has no digit left at n = 1 and β = 0.9999.

    Args:
        class_counts: Training images per class, ``(K,)``, each at least 1.
        beta: In [0, 1): 0 gives equal weights, towards 1 they approach inverse frequency.

    Returns:
        ``(K,)``, as :func:`as_counts` gives them.

    References:
        Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019.
    """
    counts = as_counts(class_counts)
    effective = -torch.expm1(counts * torch.log(counts.new_tensor(beta)))
    weights = 1 / effective
    return weights * (len(counts) / weights.sum())


def generalized_weights(class_counts: Sequence[int] | Tensor, rho: float) -> Tensor:
    """Weights by a power of the prior, ``(n_c / N)^(-ρ)``, scaled to sum to K.

    Args:
        class_counts: Training images per class, ``(K,)``, each at least 1.
        rho: ρ, at least 0: 0 gives equal weights, 1 inverse frequency.

    Returns:
        ``(K,)``, as :func:`as_counts` gives them.

    References:
        Zhang et al., "Distribution Alignment: A Unified Framework for Long-tail Visual Recognition" (DisAlign), CVPR
        2021.
    """
    counts = as_counts(class_counts)
    weights = (counts.min() / counts) ** rho  # at most 1, so no ρ overflows
    return weights * (len(counts) / weights.sum())


def frequency_factors(class_counts: Sequence[int] | Tensor, gamma: float) -> Tensor:
    """``(n_c / n_max)^γ``: 1 for the most frequent class, less for rarer ones.

    Args:
        class_counts: Training images per class, ``(K,)``, each at least 1.
        gamma: γ, at least 0.

    Returns:
        ``(K,)``, as :func:`as_counts` gives them.

    References:
        Ye et al., "Identifying and Compensating for Feature Deviation in Imbalanced Deep Learning" (CDT), 2020.
    """
    counts = as_counts(class_counts)
    return (counts / counts.max()) ** gamma

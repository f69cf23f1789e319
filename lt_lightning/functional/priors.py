"""What class counts say: log priors and the weights that follow from them."""

from collections.abc import Sequence

import torch
from torch import Tensor


def log_prior(counts: Tensor) -> Tensor:
    """Log of each class's share of the training images, ``log(n_c / Σ n)``.

    Args:
        counts: Training images per class, ``(K,)``, floating point, each at least 1.

    Returns:
        ``(K,)``, of the dtype of ``counts``.
    """
    return torch.log(counts / counts.sum())


def class_balanced_weights(class_counts: Sequence[int] | Tensor, beta: float) -> Tensor:
    """Weights by the effective number of samples, ``(1 - β) / (1 - β^n)``, scaled to sum to K.

    Computed as ``1 / -expm1(n log β)`` in float64: in fp32 ``1 - β^n`` has no digit left at n = 1 and β = 0.9999.

    Args:
        class_counts: Training images per class, ``(K,)``, each at least 1.
        beta: In [0, 1): 0 gives equal weights, towards 1 they approach inverse frequency.

    Returns:
        ``(K,)``, float64, on the device of ``class_counts``.

    References:
        Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019.
    """
    counts = torch.as_tensor(class_counts, dtype=torch.float64)
    effective = -torch.expm1(counts * torch.log(torch.tensor(beta, dtype=torch.float64, device=counts.device)))
    weights = 1 / effective
    return weights * (len(counts) / weights.sum())


def generalized_weights(class_counts: Sequence[int] | Tensor, rho: float) -> Tensor:
    """Weights by a power of the prior, ``(n_c / N)^(-ρ)``, scaled to sum to K.

    Args:
        class_counts: Training images per class, ``(K,)``, each at least 1.
        rho: ρ, at least 0: 0 gives equal weights, 1 inverse frequency.

    Returns:
        ``(K,)``, float64, on the device of ``class_counts``.

    References:
        Zhang et al., "Distribution Alignment: A Unified Framework for Long-tail Visual Recognition" (DisAlign), CVPR
        2021.
    """
    counts = torch.as_tensor(class_counts, dtype=torch.float64)
    weights = (counts.min() / counts) ** rho  # at most 1, so no ρ overflows
    return weights * (len(counts) / weights.sum())


def frequency_factors(counts: Tensor, gamma: float) -> Tensor:
    """``(n_c / n_max)^γ``: 1 for the most frequent class, less for rarer ones.

    Args:
        counts: Training images per class, ``(K,)``, floating point, each at least 1.
        gamma: γ, at least 0.

    Returns:
        ``(K,)``, of the dtype of ``counts``.

    References:
        Ye et al., "Identifying and Compensating for Feature Deviation in Imbalanced Deep Learning" (CDT), 2020.
    """
    return (counts / counts.max()) ** gamma

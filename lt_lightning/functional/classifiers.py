"""Classifier heads as functions of features and weights."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lt_lightning.functional.precision import at_least_fp32, linear

EPSILON = 1e-12
"""Least norm that anything is divided by: all-zero features occur after a ReLU."""


def row_norms(weight: Tensor) -> Tensor:
    """Euclidean norm of each class's weights, ``(K, D)`` to ``(K,)``, in fp32 at least."""
    norms: Tensor = torch.linalg.vector_norm(at_least_fp32(weight), dim=1)
    return norms


def cosine_logits(features: Tensor, weight: Tensor) -> Tensor:
    """Cosine of the angle between each feature vector and each class's weights.

    Args:
        features: ``(N, D)``.
        weight: ``(K, D)``.

    Returns:
        ``(N, K)``, within [-1, 1] up to rounding; 0 for an all-zero vector.
    """
    directions = F.normalize(at_least_fp32(weight), dim=1, eps=EPSILON)
    return linear(F.normalize(at_least_fp32(features), dim=1, eps=EPSILON), directions)


def tau_normalize(weight: Tensor, tau: float) -> Tensor:
    """Divide each class's weights by their norm to the power of ``tau``.

    Args:
        weight: ``(K, D)``.
        tau: 0 leaves the weights, 1 gives all of them norm 1.

    Returns:
        ``(K, D)``, in fp32 at least.

    References:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020.
    """
    return at_least_fp32(weight) / row_norms(weight).clamp_min(EPSILON).pow(tau).unsqueeze(1)


def measured_radius(weight: Tensor, threshold: float) -> Tensor:
    """Radius for :func:`project_rows` that lies ``threshold`` of the way from the least norm to the largest.

    Args:
        weight: ``(K, D)``.
        threshold: In [0, 1].

    Returns:
        A scalar, in fp32 at least.

    References:
        Published code of Alshammari et al., "Long-Tailed Recognition via Weight Balancing", CVPR 2022.
    """
    least, largest = row_norms(weight).aminmax()
    return least + threshold * (largest - least)


def project_rows(weight: Tensor, radius: Tensor) -> Tensor:
    """Shorten the rows that are longer than ``radius`` to it, and leave the others.

    Args:
        weight: ``(K, D)``.
        radius: A scalar.

    Returns:
        ``(K, D)``, in fp32 at least.

    References:
        Alshammari et al., "Long-Tailed Recognition via Weight Balancing", CVPR 2022.
    """
    shrink = (radius / row_norms(weight).clamp_min(EPSILON)).clamp_max(1.0)
    return at_least_fp32(weight) * shrink.unsqueeze(1)

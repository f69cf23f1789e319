"""Classifier heads as functions of features and weights."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lt_lightning.functional.precision import at_least_fp32, linear, outside_autocast, widest_float

EPSILON = 1e-12
"""Least norm that anything is divided by: all-zero features occur after a ReLU."""

_ROWS = 4096  # at a time: 67 MB in fp64 where features have 2048 numbers, and all of 437,513 images would be 7 GB
_ROWS_OF_COSINES = 1024  # at a time: K × K cosines would not fit for many classes


def row_norms(weight: Tensor) -> Tensor:
    """Euclidean norm of each class's weights, ``(K, D)`` to ``(K,)``, in fp32 at least."""
    norms: Tensor = torch.linalg.vector_norm(at_least_fp32(weight), dim=1)
    return norms


def directions(vectors: Tensor) -> Tensor:
    """Rows divided by their norms, ``(N, D)``, in fp32 at least; all-zero rows stay."""
    return F.normalize(at_least_fp32(vectors), dim=1, eps=EPSILON)


def row_cosines(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and largest cosine of the angles between each row and all other rows.

    Args:
        weight: ``(K, D)``, K at least 2. An all-zero row has cosine 0 with all.

    Returns:
        Two tensors ``(K,)``, in fp32 at least.
    """
    with outside_autocast(weight):
        rows = directions(weight)
        others = rows.sum(dim=0) - rows
        mean = (rows * others).sum(dim=1) / (len(rows) - 1)
        largest = []
        for start in range(0, len(rows), _ROWS_OF_COSINES):
            cosines = rows[start : start + _ROWS_OF_COSINES] @ rows.t()
            cosines.diagonal(start).fill_(-torch.inf)
            largest.append(cosines.amax(dim=1))
        return mean, torch.cat(largest)


def cosine_logits(features: Tensor, weight: Tensor) -> Tensor:
    """Cosine of the angle between each feature vector and each class's weights.

    Args:
        features: ``(N, D)``.
        weight: ``(K, D)``.

    Returns:
        ``(N, K)``, within [-1, 1] up to rounding; 0 for an all-zero vector.
    """
    return linear(directions(features), directions(weight))


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
    norms = row_norms(weight)
    divisors = torch.where(norms > EPSILON, norms, 1.0).pow(tau)  # a power of `EPSILON` itself may round to 0
    return at_least_fp32(weight) / divisors.unsqueeze(1)


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


def class_means(
    features: Tensor, targets: Tensor, num_classes: int, prepare: Callable[[Tensor], Tensor] = at_least_fp32
) -> Tensor:
    """Mean feature vector of each class; features are never copied as a whole.

    Args:
        features: ``(N, D)``.
        targets: ``(N,)``, int64.
        num_classes: K.
        prepare: Applied to rows before they are averaged, ``(n, D)`` to ``(n, D)``.

    Returns:
        ``(K, D)``, in fp64 (fp32 where the device has none), so that the order of the images leaves no trace in fp32;
        NaN for a class without images.
    """
    wide = widest_float(features.device)
    sums = features.new_zeros(num_classes, features.shape[1], dtype=wide)
    for rows, labels in zip(torch.split(features, _ROWS), torch.split(targets, _ROWS), strict=True):
        sums.index_add_(0, labels, prepare(rows).to(wide))
    return sums / torch.bincount(targets, minlength=num_classes).unsqueeze(1)


def mean_features(features: Tensor) -> Tensor:
    """Mean feature vector of all images, ``(N, D)`` to ``(D,)``, as precise as :func:`class_means`."""
    return class_means(features, torch.zeros(len(features), dtype=torch.int64, device=features.device), 1)[0]


def nearest_mean_bias(means: Tensor) -> Tensor:
    """The part of :func:`nearest_mean_logits` that depends on the class alone: ``-‖μ_c‖²``, ``(K, D)`` to ``(K,)``."""
    return -at_least_fp32(means).square().sum(dim=1)


def nearest_mean_logits(features: Tensor, means: Tensor) -> Tensor:
    """Negative squared distance to each mean, plus each image's own ``‖x‖²``: ``2 μ_c·x - ‖μ_c‖²``.

    Args:
        features: ``(N, D)``.
        means: ``(K, D)``.

    Returns:
        ``(N, K)``, in fp32 at least.
    """
    return linear(features, 2 * at_least_fp32(means), nearest_mean_bias(means))


def align_logits(
    logits: Tensor,
    features: Tensor,
    scales: Tensor,
    offsets: Tensor,
    confidence_weight: Tensor,
    confidence_bias: Tensor,
) -> Tensor:
    """Move logits towards ``a_c z_c + b_c`` by the share ``sigmoid(u·x + c)`` of the way.

    Args:
        logits: z, ``(N, K)``.
        features: x, ``(N, D)``.
        scales: a, ``(K,)``.
        offsets: b, ``(K,)``.
        confidence_weight: u, ``(1, D)``.
        confidence_bias: c, ``(1,)``.

    Returns:
        ``(N, K)``, in fp32 at least; exactly ``logits`` where a is 1 and b is 0.

    References:
        Zhang et al., "Distribution Alignment: A Unified Framework for Long-tail Visual Recognition", CVPR 2021,
        section 3.3.
    """
    confidence = torch.sigmoid(linear(features, confidence_weight, confidence_bias))
    return logits + confidence * ((scales - 1) * logits + offsets)

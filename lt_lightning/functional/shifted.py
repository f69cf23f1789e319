"""Accuracy under other class frequencies at test time than those of the test set."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lt_lightning.functional.priors import as_counts

RATIOS = (50.0, 25.0, 10.0, 5.0, 2.0)
"""Imbalance ratios of the test distributions of LADE and SADE."""


def shifted_priors(class_counts: Sequence[int] | Tensor) -> dict[str, Tensor]:
    """Long-tailed test distributions along and against the training set's, and the uniform one between them.

    Classes are ranked by their training images, the most frequent first and ties by index; rank r of K has probability
    in proportion to ``ρ^(-r / (K - 1))``, for each ratio ρ of :data:`RATIOS`.

    Args:
        class_counts: Training images per class, ``(K,)``.

    Returns:
        Probabilities ``(K,)``, fp64 where the device has it, by name: ``forward-50`` and on, ``uniform``, …,
        ``backward-50``.

    References:
        Hong et al., "Disentangling Label Distribution for Long-tailed Visual Recognition" (LADE), CVPR 2021, section
        4.1; Zhang et al., "Self-Supervised Aggregation of Diverse Experts" (SADE), NeurIPS 2022, which has both
        directions.
    """
    counts = as_counts(class_counts)
    order = torch.argsort(counts, descending=True, stable=True)
    rank = torch.empty_like(counts)
    rank[order] = torch.arange(len(counts)).to(counts)
    share = rank / max(len(counts) - 1, 1)
    forward = {f"forward-{ratio:g}": ratio**-share for ratio in RATIOS}
    backward = {f"backward-{ratio:g}": ratio ** (share - 1) for ratio in reversed(RATIOS)}
    found = {**forward, "uniform": torch.ones_like(share), **backward}
    return {name: values / values.sum() for name, values in found.items()}


def prior_accuracy(accuracies: Tensor, prior: Tensor) -> Tensor:
    """Expected share of images that are right where classes come with given probabilities.

    Args:
        accuracies: Of each class, ``(..., K)``; a class without test images has NaN and is left out.
        prior: ``(K,)``.

    Returns:
        ``(...)``, NaN where no class has images.
    """
    known = ~accuracies.isnan()
    weights = torch.where(known, prior.to(accuracies.dtype), 0.0)
    return torch.where(known, accuracies, 0.0).mul(weights).sum(dim=-1) / weights.sum(dim=-1)

"""Many-, medium- and few-shot classes, and means over them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lt_lightning.functional.precision import widest_float
from lt_lightning.functional.priors import as_counts

GROUPS = ("many", "medium", "few")
"""The groups' names, in the order of :func:`group_of`'s rows."""


def group_of(class_counts: Sequence[int] | Tensor, group_thresholds: tuple[int, int] = (20, 100)) -> Tensor:
    """Which classes belong to which group.

    Args:
        class_counts: Training images per class, ``(K,)``.
        group_thresholds: ``(low, high)``: more than ``high`` images is "many", fewer than ``low`` is "few", the rest,
            both ends included, is "medium". 20 and 100 are the field's standard (Liu et al., CVPR 2019).

    Returns:
        Masks, ``(3, K)``, bool, one row for each of :data:`GROUPS`; each class is in exactly one.
    """
    counts = as_counts(class_counts)
    low, high = group_thresholds
    many, few = counts > high, counts < low
    return torch.stack((many, ~(many | few), few))


def group_means(values: Tensor, masks: Tensor) -> Tensor:
    """Mean of per-class values over each group, classes with NaN left out.

    Args:
        values: ``(K,)``, floating point; NaN for a class without a value.
        masks: ``(G, K)``, bool.

    Returns:
        ``(G,)``; NaN for a group without values.
    """
    known = masks & ~values.isnan()
    return torch.where(known, values, 0.0).sum(dim=1) / known.sum(dim=1)


def class_accuracies(correct: Tensor, total: Tensor) -> Tensor:
    """Share of each class's images that were right.

    Args:
        correct: Images of each class classified as it, ``(K,)``, int64.
        total: Images of each class, ``(K,)``, int64.

    Returns:
        ``(K,)``, in [0, 1], fp64 where the device has it; NaN for a class without images.
    """
    dtype = widest_float(total.device)
    return correct.to(dtype) / total.to(dtype)


def group_accuracies(correct: Tensor, total: Tensor, masks: Tensor) -> dict[str, Tensor]:
    """Accuracy over all classes, over each group, and over all images.

    Args:
        correct: Images of each class classified as it, ``(K,)``, int64.
        total: Images of each class, ``(K,)``, int64.
        masks: Groups, ``(3, K)``, as :func:`group_of` gives them.

    Returns:
        Scalars in [0, 1]: ``all``, ``many``, ``medium``, ``few``: mean of the accuracies of the classes that have
        images, NaN if none has; ``micro``: share of the images that were right; and those of
        :func:`accuracy_summaries`.
    """
    accuracies = class_accuracies(correct, total)
    everything = torch.ones_like(masks[:1])
    means = group_means(accuracies, torch.cat((everything, masks)))
    results = dict(zip(("all", *GROUPS), means.unbind(), strict=True))
    results["micro"] = correct.sum().to(accuracies.dtype) / total.sum().to(accuracies.dtype)
    return results | accuracy_summaries(accuracies)


def accuracy_summaries(accuracies: Tensor) -> dict[str, Tensor]:
    """What the mean over classes hides: means that a single weak class pulls down, and the weakest class.

    Args:
        accuracies: Of each class, ``(K,)``; classes with NaN (no images) are left out.

    Returns:
        Scalars in [0, 1]: ``harmonic`` and ``geometric`` mean, 0 as soon as one class has accuracy 0, and ``worst``,
        the least accuracy. NaN if no class has one.
    """
    known = ~accuracies.isnan()
    number = known.sum()
    # A class left out counts as accuracy 1: it adds 0 to the sum of logarithms and 1 to that of reciprocals.
    filled = torch.where(known, accuracies, 1.0)
    reciprocals = filled.reciprocal().sum() - (~known).sum()
    worst = torch.where(number > 0, filled.amin(), torch.nan)
    return {"harmonic": number / reciprocals, "geometric": (filled.log().sum() / number).exp(), "worst": worst}

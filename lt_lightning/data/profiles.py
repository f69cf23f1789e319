"""How many training images each class of an artificial long tail has."""

from collections.abc import Sequence
from math import isfinite
from typing import Literal

from lt_lightning.errors import UsageError, check_at_least_1, check_word

Tail = Literal["exponential", "step", "none"]
"""``exponential``: counts fall by a constant factor from class to class; ``step``: the first half of the classes is
full, the other small; ``none``: all full."""

Profile = Literal[Tail, "complete"]
"""A tail to cut, or the set as published, with as many images as each class has."""


def class_counts(profile: Tail, num_classes: int, max_count: int, imbalance_ratio: float) -> list[int]:
    """Training images per class, largest first (Cui et al. 2019; rounding as in LDAM's published code).

    Class ``c`` of ``K`` gets ``int(max_count * imbalance_ratio ** (-c / (K - 1)))`` images in the exponential profile;
    in the step profile the first ``K // 2`` classes get ``max_count``, the others ``int(max_count / imbalance_ratio)``.

    Args:
        profile: Shape of the tail; ``none`` ignores ``imbalance_ratio``.
        num_classes: Number of classes, 2 or more.
        max_count: Images of the largest class.
        imbalance_ratio: Largest count over smallest, 1 or more.

    Returns:
        Counts, ``(num_classes,)``.

    Raises:
        UsageError: If an argument is below its minimum, ``profile`` unknown, or a class would be left without an image.

    Example:
        >>> class_counts("exponential", 10, 5000, 100)
        [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    """
    check_word("profile", profile, Tail)
    if num_classes < 2:
        raise UsageError(f"`num_classes` must be at least 2, but got {num_classes}.")
    check_at_least_1(max_count=max_count)
    if not (isfinite(imbalance_ratio) and imbalance_ratio >= 1):
        raise UsageError(f"`imbalance_ratio` must be a number of at least 1, but got {imbalance_ratio}.")
    if profile == "exponential":
        counts = [int(max_count * imbalance_ratio ** (-c / (num_classes - 1))) for c in range(num_classes)]
    else:
        head = num_classes // 2 if profile == "step" else num_classes
        counts = [max_count] * head + [int(max_count / imbalance_ratio)] * (num_classes - head)
    if 0 in counts:
        raise UsageError(
            f"`imbalance_ratio` {imbalance_ratio:g} leaves class {counts.index(0)} without an image when the largest "
            f"class has {max_count}; choose a ratio below {max_count} or a larger `max_count`."
        )
    return counts


def complete_counts(published: Sequence[int], held_out: int) -> list[int]:
    """Training images per class where none are cut off.

    Args:
        published: Images of each class in the set, ``(K,)``.
        held_out: Images of each class that validate instead.

    Returns:
        Counts, ``(K,)``.

    Raises:
        UsageError: If that leaves a class without an image.
    """
    if held_out >= min(published):
        raise UsageError(
            f"`val_per_class` {held_out} leaves class {published.index(min(published))} without a training image, as "
            f"it has {min(published)}; choose a smaller one."
        )
    return [count - held_out for count in published]


def check_complete(found: Sequence[int], published: Sequence[int], name: str) -> None:
    """Refuse files that are not the whole set, or more than it.

    Args:
        found: Images that the files have of each class, ``(K,)``.
        published: Images of each class in the set, ``(K,)``.
        name: Of the set.

    Raises:
        UsageError: If a class has fewer images, or more.
    """
    for label, (have, want) in enumerate(zip(found, published, strict=True)):
        if have != want:
            raise UsageError(
                f"`data.profile` complete takes all {want} images of class {label} of {name}, but the files have "
                f"{have}; use the set as published, or another profile."
            )

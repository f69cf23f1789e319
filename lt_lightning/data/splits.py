"""Which images of a pool train and which select, and the fingerprint by which a results file names them."""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor

from lt_lightning.errors import UsageError, check_word
from lt_lightning.samplers.base import places_in_class

ValFrom = Literal["unused", "pool", "train", "none"]
"""Where validation images come from: ``unused``: pool images that the training subset did not take; ``pool``: held out
before the subset is drawn; ``train``: a part of the subset itself; ``none``: nowhere."""

Subset = Literal["first"] | int
"""Which images of a class are taken: the first ones in the source's order, or random ones by the seed given."""


@dataclass(frozen=True)
class PoolSplit:
    """Rows of a pool, sorted by class and within a class in the order in which they were taken.

    Attributes:
        train: Training rows, ``(N_train,)``, int64.
        val: Validation rows, ``(N_val,)``, int64; they share no row with ``train``.
    """

    train: Tensor
    val: Tensor


def validation_counts(counts: Sequence[int], fraction: float) -> list[int]:
    """Images that ``val_from="train"`` takes out of each class: the rounded share, one at least, never the last one.

    Args:
        counts: Images of each class before the split, ``(K,)``.
        fraction: Share to take, in (0, 1).

    Returns:
        ``(K,)``; 0 for a class of one image.

    Raises:
        UsageError: If ``fraction`` is not in (0, 1).
    """
    if not 0 < fraction < 1:
        raise UsageError(f"`val_fraction` must lie between 0 and 1, but got {fraction}.")
    return [min(count - 1, max(1, int(fraction * count + 0.5))) for count in counts]


def split_pool(
    labels: Tensor,
    counts: Sequence[int],
    val_from: ValFrom,
    val_per_class: int = 20,
    val_fraction: float = 0.1,
    subset: Subset = "first",
) -> PoolSplit:
    """Choose the training and validation rows of a pool.

    - ``unused``: up to ``val_per_class`` images a class, the next ones after those that train; a class that trains on
      all its images has none.
    - ``pool``: the first ``val_per_class`` images of each class in the pool's order, whatever ``subset`` says; the
      training images are taken from the rest.
    - ``train``: the last ones of the ``counts`` taken, as many as :func:`validation_counts` says.

    Args:
        labels: Class of each image of the pool, ``(N,)``, int64, between 0 and ``K - 1``.
        counts: Images to take of each class, ``(K,)``, those of ``val_from="train"`` included.
        val_from: Where validation images come from.
        val_per_class: Validation images per class for ``unused`` and ``pool``. 20 as in ImageNet-LT.
        val_fraction: Share of the training images for ``train``.
        subset: ``"first"``, as in published code, or the seed of a random choice.

    Raises:
        UsageError: If a class of the pool has fewer images than asked for, or ``val_from`` is unknown.
    """
    check_word("val_from", val_from, ValFrom)
    num_classes = len(counts)
    rows = torch.arange(len(labels))
    val = rows[:0]
    if val_from == "pool":
        held = places_in_class(labels) < val_per_class
        val, rows = rows[held], rows[~held]

    found = torch.bincount(labels[rows], minlength=num_classes).tolist()
    for label, (have, want) in enumerate(zip(found, counts, strict=True)):
        if have < want:
            held_out = f" beside the {val_per_class} held out for validation" if val_from == "pool" else ""
            raise UsageError(
                f"The pool has {have} images of class {label}{held_out}, but {want} are wanted; give all files of the "
                f"set, or choose a larger `imbalance_ratio` or a smaller `max_count`."
            )

    if subset != "first":
        rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(subset))]
    classes = labels[rows]
    place = places_in_class(classes)
    stop = torch.tensor(counts)
    if val_from == "unused":
        val = rows[(place >= stop[classes]) & (place < (stop + val_per_class)[classes])]
    elif val_from == "train":
        taken, stop = stop, stop - torch.tensor(validation_counts(counts, val_fraction))
        val = rows[(place >= stop[classes]) & (place < taken[classes])]
    return PoolSplit(_by_class(rows[place < stop[classes]], labels), _by_class(val, labels))


def check_labels(labels: Tensor, num_classes: int, where: str) -> None:
    """Refuse labels that name no class.

    Args:
        labels: ``(N,)``, int64.
        num_classes: Number of classes.
        where: What holds the labels, the first words of the error.

    Raises:
        UsageError: If a label is negative or not below ``num_classes``.
    """
    wrong = (labels < 0) | (labels >= num_classes)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise UsageError(
            f"{where} gives row {row} the label {int(labels[row])}, but labels must lie between 0 and "
            f"{num_classes - 1}; check that the file belongs to this data set."
        )


def check_images(images: Any, split: str, class_counts: Sequence[int], source: str) -> None:
    """Refuse a split that cannot be read a batch at a time, or whose classes are not those that were announced.

    Args:
        images: What the data module loaded.
        split: ``train``, ``val`` or ``test``.
        class_counts: Training images per class, as announced.
        source: Name of the data module.

    Raises:
        UsageError: If it has no int64 tensor ``targets`` or no ``__getitems__``, as many datasets of single images; if
            a target names no class (test images of unknown class may have negative ones); or if the training images of
            a class have another number.
    """
    targets = getattr(images, "targets", None)
    whole = isinstance(targets, Tensor) and targets.dtype == torch.int64 and targets.ndim == 1
    if not whole or not hasattr(images, "__getitems__"):
        lacks = "no `__getitems__`" if whole else "no `targets` that are an int64 tensor of shape (N,)"
        raise UsageError(
            f"`{source}.load({split!r})` must give images with `targets` and `__getitems__(indices)`, a batch at a "
            f"time, but its {type(images).__name__} has {lacks}."
        )
    targets = cast(Tensor, targets)
    wrong = targets >= len(class_counts)
    if split != "test":
        wrong |= targets < 0
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise UsageError(
            f"`{source}` gives image {row} of the split {split!r} the class {int(targets[row])}, but `class_counts` "
            f"announces the classes 0 to {len(class_counts) - 1}."
        )
    if split != "train":
        return
    found = torch.bincount(targets, minlength=len(class_counts)).tolist()
    label = next((c for c, (a, b) in enumerate(zip(found, class_counts, strict=True)) if a != b), None)
    if label is not None:
        raise UsageError(
            f"The training images of class {label} number {found[label]}, but {class_counts[label]} were announced by "
            f"`class_counts` of `{source}`."
        )


def classes_without(targets: Tensor, num_classes: int) -> list[int]:
    """Classes that no target names; a selection mean has to leave them out.

    Args:
        targets: ``(N,)``, int64, below ``num_classes``.
        num_classes: Number of classes.
    """
    return torch.nonzero(torch.bincount(targets, minlength=num_classes) == 0).flatten().tolist()


def image_digests(images: Tensor) -> list[bytes]:
    """SHA-256 of each image's pixels.

    Args:
        images: ``(N, C, H, W)``, of any one type; hashed in that order of axes, whatever the strides are.

    Returns:
        ``N`` times 32 bytes.
    """
    return [hashlib.sha256(row).digest() for row in images.cpu().contiguous().numpy()]


def split_hash(images: Tensor) -> str:
    """SHA-256 over the sorted :func:`image_digests`: equal for the same images in any order.

    Args:
        images: ``(N, C, H, W)``, uint8.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256(b"".join(sorted(image_digests(images)))).hexdigest()


def file_hash(files: Iterable[tuple[str, int]]) -> str:
    """SHA-256 over sorted file names and sizes, for sets too large to decode for a fingerprint.

    Args:
        files: Path relative to the data folder, with forward slashes, and size in bytes.

    Returns:
        64 hexadecimal digits.
    """
    lines = sorted(f"{path}\0{size}\n" for path, size in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def content_hash(root: Path, paths: Sequence[str], sample: int = 64) -> str:
    """SHA-256 over the bytes of some files, evenly spaced: images without compression have equal sizes.

    Args:
        root: Folder that the paths are relative to.
        paths: With forward slashes; their order does not count. Files that cannot be read are passed over.
        sample: How many files are read at most.

    Returns:
        64 hexadecimal digits.
    """
    ordered = sorted(paths)
    number = min(sample, len(ordered))
    digest = hashlib.sha256()
    for place in range(number):
        with suppress(OSError):
            digest.update(hashlib.sha256((root / ordered[place * len(ordered) // number]).read_bytes()).digest())
    return digest.hexdigest()


def _by_class(rows: Tensor, labels: Tensor) -> Tensor:
    return rows[torch.argsort(labels[rows], stable=True)]

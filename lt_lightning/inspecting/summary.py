"""How many images each class has, and what a user should know of that before training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lt_lightning.data import ImageFolderLT, LTDataModule
from lt_lightning.data.base import Split
from lt_lightning.data.folder import passed_over
from lt_lightning.functional import GROUPS, group_of
from lt_lightning.wording import filling, first_few

SPLITS: tuple[Split, ...] = ("train", "val", "test")

_ALMOST_BALANCED = 2.0
"""Imbalance ratio up to which there is no tail to speak of; ours, the papers' smallest is 10."""


@dataclass(frozen=True)
class Summary:
    """A data set in numbers.

    Attributes:
        class_names: In the order of the logits, length K.
        group_thresholds: ``(low, high)`` training images that separate few, medium and many.
        splits: Images of each class, length K, of those that there are.
    """

    class_names: list[str]
    group_thresholds: tuple[int, int]
    splits: dict[Split, list[int]]

    @property
    def class_counts(self) -> list[int]:
        """Training images per class, length K."""
        return self.splits["train"]

    @property
    def imbalance_ratio(self) -> float:
        """Training images of the largest class over those of the smallest that has any."""
        return max(self.class_counts) / min(filter(None, self.class_counts))

    def groups(self) -> dict[str, dict[str, int]]:
        """How many ``classes``, and training ``images`` in them, are many, medium and few."""
        counts = torch.tensor(self.class_counts)
        masks = group_of(self.class_counts, self.group_thresholds)
        return {
            name: {"classes": int(mask.sum()), "images": int(counts[mask].sum())}
            for name, mask in zip(GROUPS, masks, strict=True)
        }


def summarize(data: LTDataModule) -> Summary:
    """Count a data set's images by split and class.

    Args:
        data: Loaded as far as it is not yet; files of images are listed, not opened.

    Raises:
        UsageError: If it has no training images, or cannot be loaded.
    """
    found: dict[Split, list[int]] = {}
    for name in SPLITS:
        images = data.split(name)
        if images is not None and len(known := images.targets[images.targets >= 0]):
            found[name] = torch.bincount(known, minlength=data.num_classes).tolist()
    if "train" not in found:
        raise data.no_images("train", "inspect")
    return Summary(list(map(str, data.class_names)), data.group_thresholds, found)


def remarks(summary: Summary, data: LTDataModule) -> list[str]:
    """What stands in the way of training on these data, of choosing by them, or of reading their figures."""
    found = []
    if "val" not in summary.splits:
        found.append(_missing("validation images, so `compare` cannot choose settings", "val", data))
    if "test" not in summary.splits:
        found.append(_missing("test images to measure the tail on", "test", data))
    for name, counts in summary.splits.items():
        numbers = [number for number, count in enumerate(counts) if not count]
        without = [summary.class_names[number] for number in numbers]
        if without and name == "train":
            found.append(
                f"Of {len(summary.class_names)} classes {len(without)} without a training image, with which `fit` "
                f"refuses to train: {first_few(without)}; {filling(numbers)}."
            )
        elif without:
            what = {"val": "validation", "test": "test"}[name]
            found.append(
                f"Of {len(summary.class_names)} classes {len(without)} without a {what} image are left out of "
                f"that split's mean accuracies: {first_few(without)}."
            )
    test = data.split("test")
    unknown = 0 if test is None else int((test.targets < 0).sum())
    if test is not None and unknown:
        found.append(
            f"Test images of no known class, not counted here: {unknown} of {len(test)}; `compare` and `probe` refuse "
            f"them, so give test images with labels."
        )
    if isinstance(data, ImageFolderLT):
        others = passed_over(*(Path(data.root) / name for name in SPLITS))
        found += [others] if others else []
    if summary.imbalance_ratio <= _ALMOST_BALANCED:
        found.append(
            f"The imbalance ratio is {summary.imbalance_ratio:.3g}: classes are about as frequent as each other, and "
            f"methods for a long tail have little to correct."
        )
    empty = [name for name, group in summary.groups().items() if not group["classes"]]
    if empty:
        low, high = summary.group_thresholds
        thirds = _thirds(summary.class_counts)
        better = ""
        if thirds is not None:
            better = f'; `--data.group_thresholds "{thirds}"` would cut the classes into about equal thirds'
        found.append(f"No class is {' or '.join(empty)} by the thresholds {low} and {high}{better}.")
    return found


def _thirds(class_counts: Sequence[int]) -> list[int] | None:
    """Thresholds that make three groups of about as many classes; ``None`` where equal counts do not let them."""
    counts = sorted(class_counts)
    low, high = counts[len(counts) // 3], counts[max(2 * len(counts) // 3 - 1, 0)]
    sizes = group_of(counts, (low, high)).sum(dim=1)
    return [low, high] if bool(sizes.max() <= 2 * sizes.min()) else None


def _missing(what: str, name: Split, data: LTDataModule) -> str:
    remedy = data.remedy_for(name)
    return f"There are no {what}{f'; {remedy}' if remedy else ''}."

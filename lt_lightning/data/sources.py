"""What small images come from, before a long tail is cut from them: facts known without files, and the images."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from lt_lightning.errors import UsageError

SourceSplit = Literal["train", "test"]


@dataclass(frozen=True)
class SetFacts:
    """What is known of a data set without its files.

    Attributes:
        name: Short name, as in ``results.json``.
        class_names: Name of each class, in the order of the labels.
        pool_counts: Training images of each class in the set as published.
        mean: Mean of each channel over the training images, on the scale of [0, 1].
        std: Standard deviation of each channel.
    """

    name: str
    class_names: tuple[str, ...]
    pool_counts: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


class ImageSource(ABC):
    """A data set as published: labels are cheap, images are decoded on demand."""

    @abstractmethod
    def labels(self, split: SourceSplit) -> Tensor:
        """Class of each image of a split, ``(N,)``, int64, without reading an image."""

    @abstractmethod
    def images(self, split: SourceSplit, indices: Tensor) -> Tensor:
        """The images at ``indices`` ``(n,)``, in that order: ``(n, C, H, W)``, uint8. No other row is decoded."""


class ArraySource(ImageSource):
    """Images that are in memory already.

    Args:
        images: Images of each split, ``(N, C, H, W)``, uint8.
        labels: Their classes, ``(N,)``, int64.

    Raises:
        UsageError: If images and labels of a split differ in number.
    """

    def __init__(self, images: Mapping[SourceSplit, Tensor], labels: Mapping[SourceSplit, Tensor]) -> None:
        for split, targets in labels.items():
            if len(images[split]) != len(targets):
                raise UsageError(
                    f"`images` and `labels` must be as many, but `{split}` has {len(images[split])} images and "
                    f"{len(targets)} labels."
                )
        self._images = dict(images)
        self._labels = dict(labels)

    def labels(self, split: SourceSplit) -> Tensor:
        """Classes of a split, ``(N,)``."""
        return self._labels[split]

    def images(self, split: SourceSplit, indices: Tensor) -> Tensor:
        """A copy of the rows asked for."""
        return self._images[split].index_select(0, indices)

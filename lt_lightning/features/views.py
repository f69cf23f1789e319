"""Which views of an image features are made of, and which of them an epoch shows."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.seeds import seed_from

Views = int | Literal["all"]
"""How often an image is passed through the backbone: 1, as evaluation shows it; a larger number, in as many draws of
the training augmentation; ``all``, in every view that augmentation can make of it."""

StoredDtype = Literal["float32", "bfloat16", "float16"]

BLOCK = 256
"""Images that are read, augmented and stored together. Draws are made per block, so it is part of the result."""


class Block(NamedTuple):
    """One view of neighbouring images."""

    view: int
    start: int
    stop: int


@dataclass(frozen=True)
class Layout:
    """Shape of the features of a split.

    Attributes:
        views: Number V of views of each image.
        images: Number N of images.
        features: Length D of a feature vector.
        dtype: Type of the stored numbers.
    """

    views: int
    images: int
    features: int
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        """Size of all features."""
        return self.views * self.images * self.features * self.dtype.itemsize

    def blocks(self) -> Iterator[Block]:
        """All blocks, in the order in which they are stored."""
        for view in range(self.views):
            for start in range(0, self.images, BLOCK):
                yield Block(view, start, min(start + BLOCK, self.images))

    def place(self, block: Block) -> tuple[int, int]:
        """First byte of a block, and how many there are."""
        row = self.features * self.dtype.itemsize
        return (block.view * self.images + block.start) * row, (block.stop - block.start) * row


@dataclass(frozen=True)
class Features:
    """Features of one split, in the order of its images.

    Attributes:
        values: ``(V, N, D)``, fp32 or half precision; read-only where they lie on disk.
        targets: Class of each image, ``(N,)``, int64.
        views: What was asked for.
        seed: Seed of the views' draws, and of which view an epoch shows.
        record: What a results file says of them: views, seed, precision, type, and the hash that names them.
    """

    values: Tensor
    targets: Tensor
    views: Views = 1
    seed: int = 0
    record: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or self.values.shape[1] != len(self.targets):
            raise UsageError(
                f"`values` must be of shape (views, images, features) with {len(self.targets)} images, but got "
                f"{tuple(self.values.shape)}."
            )

    def __len__(self) -> int:
        return len(self.targets)

    def shown(self, epoch: int) -> Tensor:
        """View of each image in an epoch, ``(N,)``, int64, from ``(seed, epoch)`` alone.

        Drawn views take turns, one per epoch; with ``all``, each image draws one of its views, as random augmentation
        would.
        """
        count = len(self.values)
        if self.views != "all":
            return torch.full((len(self),), epoch % count)
        generator = torch.Generator().manual_seed(seed_from(self.seed, epoch))
        return torch.randint(count, (len(self),), generator=generator)

    def rows(self, indices: Tensor, shown: Tensor) -> Tensor:
        """Features of some images, ``(B, D)``, as stored.

        Args:
            indices: Positions of the images, ``(B,)``.
            shown: What :meth:`shown` says of the epoch, ``(N,)``.
        """
        flat = self.values.flatten(0, 1)
        return flat.index_select(0, shown[indices] * len(self) + indices)


def check_views(views: Views) -> None:
    """Refuse what is no number of views.

    Raises:
        UsageError: If it is neither "all" nor at least 1.
    """
    if not is_views(views):
        raise UsageError(f'`views` must be 1, a larger number or "all", but got {views!r}.')


def is_views(given: object) -> bool:
    """Whether something is a number of views or "all"."""
    return given == "all" or (isinstance(given, int) and given >= 1)


def draws(views: Views) -> bool:
    """Whether views are random draws of the augmentation."""
    return views not in (1, "all")

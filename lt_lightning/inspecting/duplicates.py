"""Images that are there twice: if one is a training and one a test image, figures are too good."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lt_lightning.data import LTDataModule
from lt_lightning.data.base import Split
from lt_lightning.data.splits import image_digests
from lt_lightning.inspecting.summary import SPLITS
from lt_lightning.progress import progress_bar


@dataclass(frozen=True)
class Duplicates:
    """Images of one split that are in another too, or earlier in the same one.

    Attributes:
        split: Theirs.
        other: Where the same pixels are, the same split included.
        pairs: Position in ``split`` and first position in ``other`` of each, int.
        names: The same as paths, where images have some.
        contradicting: How many of them have another class there.
    """

    split: Split
    other: Split
    pairs: list[tuple[int, int]]
    names: list[tuple[str, str]]
    contradicting: int


def find_duplicates(data: LTDataModule, progress: bool = True) -> list[Duplicates]:
    """Compare all images as the network gets them at evaluation, by a hash of their pixels.

    Copies in another size, crop or format are found where resizing makes the same pixels of them, and only there.

    Args:
        data: Every image of every split is read once.
        progress: Whether to show how far it has come.

    Returns:
        An entry for each pair of splits that share images.

    Raises:
        UsageError: If an image cannot be read.
    """
    hashes = {name: _hashes(data, name, progress) for name in SPLITS if data.split(name) is not None}
    found = []
    for number, (name, mine) in enumerate(hashes.items()):
        for other in list(hashes)[: number + 1]:
            pairs = _across(mine, hashes[other])
            if other == name:
                pairs = [(place, seen) for place, seen in pairs if place != seen]
            if pairs:
                found.append(_described(data, name, other, pairs))
    return found


def _hashes(data: LTDataModule, name: Split, progress: bool) -> list[bytes]:
    images = data.required(name)
    found = []
    with progress_bar(f"{name} images", len(images), progress) as advance:
        for pixels, _ in data.undistorted_batches(name, torch.device("cpu")):
            found += image_digests(pixels)
            advance(len(pixels))
    return found


def _across(mine: Sequence[bytes], others: Sequence[bytes]) -> list[tuple[int, int]]:
    first: dict[bytes, int] = {}
    for place, key in enumerate(others):
        first.setdefault(key, place)
    return [(place, first[key]) for place, key in enumerate(mine) if key in first]


def _described(data: LTDataModule, name: Split, other: Split, pairs: list[tuple[int, int]]) -> Duplicates:
    mine, theirs = data.required(name), data.required(other)
    places, seen = (torch.tensor(column) for column in zip(*pairs, strict=True))
    contradicting = int((mine.targets[places] != theirs.targets[seen]).sum())
    paths, other_paths = getattr(mine, "paths", None), getattr(theirs, "paths", None)
    names = [(str(paths[a]), str(other_paths[b])) for a, b in pairs] if paths and other_paths else []
    return Duplicates(name, other, pairs, names, contradicting)

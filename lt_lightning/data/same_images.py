"""Whether all processes of a run have the same images: a node's own copy of them may be old, or copied by half."""

import hashlib
import json
import platform
from collections.abc import Sequence
from typing import Any

import torch.distributed as dist

from lt_lightning.errors import UsageError
from lt_lightning.processes import rank_and_world_size

_Found = dict[str, tuple[int, str]]
"""Number and hash of the images of each split."""


def check_same_images(data: Any, splits: Sequence[str]) -> None:
    """Refuse splits of which another process has other images, before any of them is used.

    All processes of a group must call it. Each loads the splits; one alone has nothing to do.

    Args:
        data: The data module.
        splits: Those that are needed, of which some may have no images.

    Raises:
        UsageError: In every process, if images differ or one of them cannot load its own.
    """
    world_size = rank_and_world_size()[1]
    if world_size == 1:
        return
    found, error = None, None
    try:
        found = _images_of(data, splits)
    except Exception as raised:  # nobody is left waiting, whatever a source of one's own raises
        error = raised
    shares: list[Any] = [None] * world_size
    dist.all_gather_object(shares, (platform.node(), found, str(error)))
    if error is not None:
        raise error
    here, ours, _ = shares[0]
    for process, (host, theirs, what) in enumerate(shares):
        if theirs is None:
            raise UsageError(f"Process {process} (host {host}) has stopped: {what}")
        if ours is not None and theirs != ours:
            raise UsageError(
                f"`data` holds other images for process {process} (host {host}) than for process 0 (host {here}): "
                f"{_difference(theirs, ours)}; give all processes the same files, each node's own copy whole and up to "
                f"date."
            )


def _images_of(data: Any, splits: Sequence[str]) -> _Found:
    """What tells the images from others; training images by their classes alone where they are not loaded."""
    loaded = {name: images for name in splits if (images := data.split(name)) is not None}
    counts = list(map(int, data.class_counts))
    try:
        hashes = data.describe_split().get("hashes") or {}
    except AttributeError:  # one's own may know only after its `setup`, which is about to go on
        hashes = {}
    found = {"train": (sum(counts), _hash([counts, list(map(str, data.class_names))]))}
    for name, images in loaded.items():
        order = images.targets.tolist(), list(getattr(images, "paths", ()))  # by which processes share them
        found[name] = (len(images), _hash([str(hashes.get(name)), *order]))
    return found


def _hash(content: list[Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _difference(theirs: _Found, ours: _Found) -> str:
    parts = []
    for name in {**ours, **theirs}:
        (number, content), (first, expected) = theirs.get(name, (0, "")), ours.get(name, (0, ""))
        if number != first:
            parts.append(f"{number} against {first} of {name}")
        elif content != expected:
            parts.append(f"others of {name}")
    return ", ".join(parts)

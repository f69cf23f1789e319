"""What weights have been trained on: by the file that holds them, and by every file that they came through."""

from collections.abc import Iterable, Mapping
from typing import Any

Entry = dict[str, Any]
"""``{"weights": "file", "train": hash}`` for a training of which a file keeps the hash of its images, ``None`` where it
keeps none, or ``{"weights": "published"}`` for weights that a library publishes."""

PUBLISHED: Entry = {"weights": "published"}
UNKNOWN: Entry = {"weights": "file", "train": None}


def training_images(split: object) -> str | None:
    """Hash of the training images in a record of a split; ``None`` where it has none, or is none."""
    hashes = split.get("hashes") if isinstance(split, Mapping) else None
    return (hashes.get("train") or None) if isinstance(hashes, Mapping) else None


def known_of_images(split: object) -> dict[str, Any]:
    """The part of a record of a split that tells its images from others; empty where it has none, or is none."""
    recorded = split if isinstance(split, Mapping) else {}
    return {part: recorded[part] for part in ("hashes", "hash_of", "content") if part in recorded}


def trained_on(split: object) -> Entry:
    """The entry of a training on data with such a record of their split; its images are unknown if that is none."""
    return {"weights": "file", "train": training_images(split)}


def past_of(record: Mapping[str, Any]) -> list[Entry]:
    """What weights had been trained on before the training that a file's record describes, the latest first.

    Args:
        record: Of a file; empty if it is none of ours, and what its weights had been trained on is unknown.
    """
    recorded = record.get("past")
    if not isinstance(recorded, list | tuple):
        return [dict(UNKNOWN)]
    return [dict(entry) for entry in recorded if isinstance(entry, Mapping)]


def origins(split: object, past: Iterable[Entry]) -> list[Entry]:
    """What weights have been trained on, the latest first. Whoever starts from them has to record it.

    Args:
        split: Of the last training's data, as a record has it.
        past: What they had been trained on before that.
    """
    return distinct([trained_on(split), *past])


def distinct(entries: Iterable[Entry], *known: Entry) -> list[Entry]:
    """Entries without those that are known already, each once."""
    found: list[Entry] = []
    for entry in entries:
        if entry not in found and entry not in known:
            found.append(entry)
    return found

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


def trained_on(split: object) -> Entry:
    """The entry of a training on data that describe their split so; what is no mapping describes nothing."""
    return {"weights": "file", "train": training_images(split)}


def past_of(contents: Mapping[Any, Any], record: Mapping[str, Any]) -> list[Entry]:
    """What weights had been trained on before the training that a file's record describes, the latest first.

    Args:
        contents: Of the file.
        record: Its record; empty if the file is none of ours.

    Returns:
        For a file that is none of ours, or of a version that did not record this: nothing for a stage 1 that a trainer
        has trained, and else that it is unknown.
    """
    recorded = record.get("past")
    if isinstance(recorded, list | tuple):
        return [dict(entry) for entry in recorded if isinstance(entry, Mapping)]
    arguments = contents.get("hyper_parameters")
    retrained = isinstance(arguments, Mapping) and "checkpoint" in arguments
    # Lightning's own key, which files lack that were written without a trainer: those of `probe` and `compare`.
    by_trainer = "loops" in contents
    return [] if record and by_trainer and not retrained else [dict(UNKNOWN)]


def origins(split: object, past: Iterable[Entry]) -> list[Entry]:
    """What weights have been trained on, the latest first, as whoever starts from them has to record.

    Args:
        split: That the last training's data are described by, as a record has it.
        past: What they had been trained on before.
    """
    return distinct([trained_on(split), *past])


def distinct(entries: Iterable[Entry], *known: Entry) -> list[Entry]:
    """Entries without those that are known already, each once."""
    found: list[Entry] = []
    for entry in entries:
        if entry not in found and entry not in known:
            found.append(entry)
    return found

"""Values of a ``results.json``, checked: what tables and plots can be made of."""

import math
import sys
from collections.abc import Mapping
from typing import Any

from lt_lightning.report.runs import METRICS, Detail
from lt_lightning.same_run import short_hash


def detail_of(record: Mapping[str, Any], evaluation: Mapping[str, Any], **more: Any) -> Detail:
    """What a plot shows of one evaluation; ``more`` is what a run has besides its classes."""
    counts = counts_of(record)
    per_class = lists_of(evaluation.get("per_class", {}), len(counts))
    return Detail(counts, thresholds_of(record), per_class, **more)


def counts_of(record: Mapping[str, Any]) -> list[int]:
    """Training images per class."""
    counts = [int(count) for count in record["class_counts"]]
    if max(counts) > sys.maxsize:  # no array would hold it
        raise OverflowError("a class of too many images")
    return counts


def lists_of(found: Mapping[str, Any], length: int) -> dict[str, list[float | None]]:
    """Lists by name that a plot can be made of."""
    lists = {}
    for name, values in found.items():
        if not isinstance(values, list) or len(values) != length:
            raise TypeError(f"{name} is no list of {length} values")
        if not all(value is None or isinstance(value, int | float) for value in values):
            raise TypeError(f"{name} holds what is no number")
        lists[name] = [None if value is None else float(value) for value in values]
    return lists


def thresholds_of(record: Mapping[str, Any]) -> tuple[int, int]:
    """Training images that separate few, medium and many."""
    low, high = record["group_thresholds"]
    if not is_number(low) or not is_number(high):
        raise TypeError("thresholds that are no numbers")
    return low, high


def seed_of(record: Mapping[str, Any]) -> int | str | None:
    """Of the training; ``None`` where nothing was drawn, or nobody knows it."""
    seed: Any = record["seed"]
    if seed is not None and not isinstance(seed, int | str):
        raise TypeError("a seed that is neither a number nor a name")
    return seed


def numbers_of(figures: Mapping[str, Any]) -> dict[str, float]:
    """The figures that are reported, those that are finite."""
    return {name: float(figures[name]) for name in METRICS if is_number(figures.get(name))}


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def data_of(record: Mapping[str, Any]) -> str:
    """Data set and how long its tail is; runs on other class counts or thresholds are other experiments."""
    counts = counts_of(record)
    name = record["data"].get("dataset") or record["data"].get("root") or "data"
    low, high = thresholds_of(record)
    shape = f"{sum(counts)} images, {len(counts)} classes, {max(counts)} to {min(counts)}"
    return f"{name} ({shape}; few <{low}, many >{high})"


def hash_of(data: Mapping[str, Any], split: str) -> str:
    """Of the images of a split, as a record of data has it; of files together with that of their content, if known."""
    return " ".join(filter(None, (_recorded(data, part, split) for part in ("hashes", "content"))))


def tells_images(data: Mapping[str, Any], split: str) -> bool:
    """Whether that hash tells the images of a split from all others: names and sizes of files alone do not."""
    return bool(_recorded(data, "hashes" if data.get("hash_of") == "pixels" else "content", split))


def _recorded(data: Mapping[str, Any], part: str, split: str) -> str:
    """What a part of a record says of a split; data of one's own may have anything there."""
    found = data.get(part)
    value = found.get(split) if isinstance(found, Mapping) else None
    return "" if value is None else str(value)


def images_of(record: Mapping[str, Any], split: str) -> str:
    """Equal in records of the same training images and images of a split; empty where one of them is unknown.

    Names of data do not tell: those of files go by their folder, which may be another one for each job.
    """
    data = record["data"]
    trained_on = data if hash_of(data, "train") else (record.get("started_from") or {}).get("trained_on", {})
    if not tells_images(trained_on, "train") or not tells_images(data, split):
        return ""
    hashes = [hash_of(trained_on, "train"), hash_of(data, split)]
    return short_hash([counts_of(record), thresholds_of(record), *hashes])

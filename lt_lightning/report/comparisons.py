"""What the ``results.json`` of ``compare`` says: figures of each method, seed by seed."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lt_lightning.report.runs import Names, Protocol, Run
from lt_lightning.report.values import data_of, detail_of, hash_of, lists_of, numbers_of, seed_of, tells_images
from lt_lightning.same_run import short_hash, without


def compared(record: Mapping[str, Any], path: Path, split: str) -> Iterator[Run]:
    """The runs of a comparison, one for each method and seed; none of other images than those of ``test``."""
    protocol = record["protocol"]
    if split != "test":
        return
    checkpoint = record["checkpoint"]
    content = str(checkpoint["sha256"])
    source = f"{checkpoint['path']} ({content[:8]})"
    for name, row in record["rows"].items():
        if not row["seeds"]:  # it diverged
            continue
        how = Protocol(
            str(row.get("selection") or protocol["selection"]),
            *(str(protocol[key]) for key in ("views", "bn_mode", "test_time_averaging", "aggregation")),
        )
        tried = None  # a grid has no part in what was not selected from it
        if row.get("selection") == "val":
            # Methods have tried parts of a grid, by which `default` alone is told from another.
            tried = [one["point"] for one in row.get("validation") or []] or record.get("grid")
        settings = short_hash([tried, record["backbone"], _unchosen(row), _images(record, row)])
        names = Names(data_of(record), "compare", name, settings)
        if "best_on_test" in row:  # one figure that no mean may be taken of
            detail = detail_of(record, row["seeds"][0])
            seeds = sorted(one["seed"] for one in row.get("runs", []))
            identity = f"{content} {seeds}"
            figures = numbers_of(row["best_on_test"])
            yield Run(path, names, how, identity, "best", figures, detail, source, content, shared=not seeds)
            continue
        for one in row["seeds"]:
            figures = {**one["accuracy"], "ece": one.get("ece")}
            detail = detail_of(record, one, tried=_tried(row))
            trained = one.get("epochs") != 0  # else no seed changes anything
            identity = f"{content} {one['seed'] if trained else ''}"
            shared = name == "oracle" or not trained
            seed, numbers = seed_of(one), numbers_of(figures)
            yield Run(path, names, how, identity, seed, numbers, detail, source, content, shared=shared)


def _images(record: Mapping[str, Any], row: Mapping[str, Any]) -> list[Any]:
    """Which images a row of a comparison depends on, and how they are prepared."""
    data, transform = record["data"], record.get("transform") or {}
    if row.get("settings"):
        # Hashes tell images better than a name: that of files is their folder's, which may be another one for each job.
        return [without(data, ["dataset"] if tells_images(data, "test") else []), transform]
    return [hash_of(data, "test"), transform.get("test")]  # of stage 1 no head was trained


def _unchosen(row: Mapping[str, Any]) -> dict[str, Any]:
    """A method's settings without the values that its validation images chose, in which checkpoints may differ."""
    settings = dict(row.get("settings") or {})
    for key in row.get("chosen") or {}:
        part, _, name = key.rpartition(".")
        for place in [part] if part else ("optimizer", "loss", "head"):
            if isinstance(settings.get(place), Mapping):
                arguments = dict(settings[place].get("init_args") or {})
                arguments.pop(name, None)
                settings[place] = {"class_path": settings[place].get("class_path"), "init_args": arguments}
    return settings


def _tried(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Points of a grid that a plot can show."""
    tried = row.get("validation") or []
    means = lists_of({"mean": [one["mean"] for one in tried]}, len(tried))["mean"]
    return [{**one, "mean": mean} for one, mean in zip(tried, means, strict=True)]

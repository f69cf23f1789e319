"""What one ``results.json`` says: figures of a run, of a pipeline's stages, or of the methods that were compared."""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from lt_lightning.report.options import flat
from lt_lightning.same_run import PLACES, short_hash, without

METRICS = ("all", "many", "medium", "few", "micro", "top3", "top5", "harmonic", "geometric", "worst", "ece")
"""Figures that are reported, in order, where runs have them."""

_OF_THE_RUN = (*PLACES, "seed_everything", "model.init_args.checkpoint")
"""Options in which runs of one experiment may differ."""


class Names(NamedTuple):
    """What runs of one experiment have in common."""

    data: str
    preset: str
    method: str
    settings: str
    """Hash of the configuration without what is the run's own, and of how images are prepared."""


class Protocol(NamedTuple):
    """How figures came about."""

    selection: str
    views: str
    bn_mode: str
    test_time_averaging: str
    aggregation: str


@dataclass(frozen=True)
class Detail:
    """What a plot shows of a run, as far as the run has left it.

    Attributes:
        class_counts: Training images per class, length K.
        group_thresholds: ``(low, high)`` training images that separate few, medium and many.
        per_class: Lists of length K by name: ``accuracy``, ``logits_magnitude``, ``weight_norm`` …; ``None`` for a
            class without images.
        bins: ``images``, ``confidence`` and ``accuracy`` of the bins of a reliability diagram.
        history: The run's ``metrics.csv``.
        tried: Points of a grid with their figures on validation images, as ``compare`` writes them.
    """

    class_counts: list[int]
    group_thresholds: tuple[int, int]
    per_class: Mapping[str, list[float | None]]
    bins: Mapping[str, list[float | None]] = field(default_factory=dict)
    history: Path | None = None
    tried: list[dict[str, Any]] = field(default_factory=list)


NO_DETAIL = Detail([], (0, 0), {})
"""Of runs that no plot shows."""


@dataclass(frozen=True)
class Run:
    """Figures of one method from one run."""

    path: Path
    names: Names
    protocol: Protocol
    identity: str
    """Equal in runs of which one repeats the other."""
    seed: Any
    """Of the training."""
    figures: dict[str, float]
    detail: Detail = field(repr=False, compare=False)
    source: str = ""
    """The checkpoint that a comparison started from."""
    checkpoint: str = ""
    """Hash of the network that stage 2 retrained; empty for a stage 1, and for a pipeline, which trains its own."""
    evaluated: str = ""
    """Which weights of a training the figures are of, and of which images."""
    training: str = ""
    """Equal in trainings of which one repeats the other, whatever number of steps they took; empty of others."""
    split: str = "test"
    """Of whose images the figures are, ``test`` or ``val``."""
    options: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """By name, without those that are the run's own; none of a row of ``compare``."""
    shared: bool = False
    """Whether each comparison on the checkpoint has the same again: stage 1, the oracle, and what nothing trains."""


class _Settings(NamedTuple):
    """What a configuration says; nothing where it could not be read."""

    common: str = ""
    """Hash of what a run has in common with one of another seed."""
    options: Mapping[str, str] = {}
    """The same by name."""


def runs_in(record: Mapping[str, Any], path: Path, split: str) -> Iterator[Run]:
    """The runs in one file.

    Args:
        record: What the file holds.
        path: The file; of a pipeline's stages those of their own are read too.
        split: ``test`` or ``val``.

    Returns:
        None if it says nothing of the split.

    Raises:
        ArithmeticError, AttributeError, KeyError, TypeError: If it is no record of this package.
    """
    if "rows" in record:
        yield from _compared(record, path, split)
    elif "stages" in record:
        settings = _settings(_configuration(path.parent / "config.yaml"))
        network = str(record["selection"])  # of all stages
        for name, stage in record["stages"].items():
            if split in stage:
                selection = stage.get("selection", network) if network.startswith("none") else network
                folder = path.parent / name
                own = _own_record(folder / "results.json")
                evaluation = {"accuracy": stage[split], **own.get("evaluation", {}).get(split, {})}
                said = {"bn_mode": own.get("bn_mode"), "selection": selection}
                yield _run({**record, **said}, path, name, split, evaluation, folder, settings)
    elif split in record["evaluation"]:
        method = " + ".join(str(record[part]) for part in ("head", "loss"))
        config, training = _configuration(path.parent / "config.yaml"), _training(record)
        if training:
            config = _as_trained(config, training["settings"], split)
            record = {**record, "preset": training["preset"]}
        evaluation = record["evaluation"][split]
        yield _run(record, path, method, split, evaluation, path.parent, _settings(config))


def diverged_in(record: Mapping[str, Any]) -> list[str]:
    """Names of the methods in one file that diverged, and so have no figures."""
    stages, rows = (dict(record.get(part) or {}) for part in ("stages", "rows"))
    return [
        *(name for name, stage in stages.items() if stage.get("diverged")),
        *(name for name, row in rows.items() if not row["seeds"]),
    ]


def _own_record(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # what the pipeline says of the stage is enough
        return {}
    return found if isinstance(found, dict) else {}


def _training(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a record says of the training whose weights it has evaluated; nothing if it has trained them itself."""
    start = record.get("started_from") or {}
    return start if start.get("settings") and not _has_trained(record) else {}


def _has_trained(record: Mapping[str, Any]) -> bool:
    return "fit" in record.get("seconds", {})


def _as_trained(config: Mapping[str, Any], training: Mapping[str, Any], split: str) -> dict[str, Any]:
    """The options of a training, with those of an evaluation that its figures depend on.

    The others, such as epochs, callbacks and the sampler, are defaults there that had no part in anything.

    Args:
        config: Of the evaluation; empty if it cannot be read.
        training: Of the training.
        split: Whose images were evaluated.
    """
    if not config:
        return {}
    limit = f"limit_{split}_batches"
    trainer = {**training.get("trainer", {}), limit: config.get("trainer", {}).get(limit)}
    return {**training, "trainer": trainer, "model": config.get("model")}


def _run(
    record: Mapping[str, Any],
    path: Path,
    method: str,
    split: str,
    evaluation: Mapping[str, Any],
    folder: Path,
    settings: _Settings,
) -> Run:
    selection, _, by = str(record["selection"]).partition(":")
    protocol = Protocol(
        selection=selection,
        views="images",
        bn_mode=str(record.get("bn_mode") or "eval"),  # stage 1 is tested with its own statistics, which `eval` keeps
        test_time_averaging=str(evaluation.get("test_time_averaging", "none")),
        aggregation="chosen epoch" if "ModelCheckpoint" in by else "last epoch",
    )
    figures = {**evaluation["accuracy"], "ece": evaluation.get("calibration", {}).get("ece", {}).get("all")}
    # Of one checkpoint there may be other heads, and images may be prepared otherwise than for training.
    common = short_hash([settings.common, record["selection"], record.get("transform")])
    names = Names(_data(record), str(record["preset"]), method, common)
    bins = evaluation.get("calibration", {}).get("bins", {})
    bins = _lists(bins, len(bins.get("images", [])))
    detail = _detail(record, evaluation, bins=bins, history=folder / "metrics.csv")
    # A checkpoint's name says little: another file may have had it, or have it in another folder.
    network = (record.get("stage1") or {}).get("sha256", "")
    evaluated = f"{_weights(record)} {record['data'].get('hashes', {}).get(split, '')}"
    seed = _seed(record)
    if seed is None or seed is False or not settings.common:  # then no run repeats another
        identity = str(path)
        training = ""
    else:
        start = f"{seed} {network or record.get('checkpoint')}"
        identity, training = f"{start} {evaluated}", f"trained {start}" if _has_trained(record) else ""
    return Run(
        path,
        names,
        protocol,
        identity,
        seed,
        _numbers(figures),
        detail,
        checkpoint=network,
        evaluated=evaluated,
        split=split,
        options=settings.options,
        training=training,
    )


def _weights(record: Mapping[str, Any]) -> str:
    """Which weights a record has figures of: the step of a training that is known, else the file's run or content."""
    if _has_trained(record):  # what it went on from is its own, as of a job that was interrupted
        return str(record.get("steps"))
    start = record.get("started_from") or {}
    if _training(record):
        return str(start.get("step"))
    # Files of equal weights differ: Lightning writes into them in which folder they lie.
    return f"{start['run']} {start['step']}" if "run" in start else str(start.get("sha256", ""))


def _detail(record: Mapping[str, Any], evaluation: Mapping[str, Any], **more: Any) -> Detail:
    counts = _counts(record)
    per_class = _lists(evaluation.get("per_class", {}), len(counts))
    return Detail(counts, _thresholds(record), per_class, **more)


def _counts(record: Mapping[str, Any]) -> list[int]:
    counts = [int(count) for count in record["class_counts"]]
    if max(counts) > sys.maxsize:  # no array would hold it
        raise OverflowError("a class of too many images")
    return counts


def _tried(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Points of a grid that a plot can show."""
    tried = row.get("validation") or []
    means = _lists({"mean": [one["mean"] for one in tried]}, len(tried))["mean"]
    return [{**one, "mean": mean} for one, mean in zip(tried, means, strict=True)]


def _lists(found: Mapping[str, Any], length: int) -> dict[str, list[float | None]]:
    """Lists by name that a plot can be made of."""
    lists = {}
    for name, values in found.items():
        if not isinstance(values, list) or len(values) != length:
            raise TypeError(f"{name} is no list of {length} values")
        if not all(value is None or isinstance(value, int | float) for value in values):
            raise TypeError(f"{name} holds what is no number")
        lists[name] = [None if value is None else float(value) for value in values]
    return lists


def _thresholds(record: Mapping[str, Any]) -> tuple[int, int]:
    low, high = record["group_thresholds"]
    if not _is_number(low) or not _is_number(high):
        raise TypeError("thresholds that are no numbers")
    return low, high


def _seed(record: Mapping[str, Any]) -> int | str | None:
    seed: Any = record["seed"]
    if seed is not None and not isinstance(seed, int | str):
        raise TypeError("a seed that is neither a number nor a name")
    return seed


def _compared(record: Mapping[str, Any], path: Path, split: str) -> Iterator[Run]:
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
        names = Names(_data(record), "compare", name, settings)
        if "best_on_test" in row:  # one figure that no mean may be taken of
            detail = _detail(record, row["seeds"][0])
            seeds = sorted(one["seed"] for one in row.get("runs", []))
            identity = f"{content} {seeds}"
            figures = _numbers(row["best_on_test"])
            yield Run(path, names, how, identity, "best", figures, detail, source, content, shared=not seeds)
            continue
        for one in row["seeds"]:
            figures = {**one["accuracy"], "ece": one.get("ece")}
            detail = _detail(record, one, tried=_tried(row))
            trained = one.get("epochs") != 0  # else no seed changes anything
            identity = f"{content} {one['seed'] if trained else ''}"
            shared = name == "oracle" or not trained
            yield Run(path, names, how, identity, _seed(one), _numbers(figures), detail, source, content, shared=shared)


def _images(record: Mapping[str, Any], row: Mapping[str, Any]) -> list[Any]:
    """Which images a row of a comparison depends on, and how they are prepared."""
    transform = record.get("transform") or {}
    if row.get("settings"):
        return [record["data"], transform]
    return [record["data"].get("hashes", {}).get("test"), transform.get("test")]  # of stage 1 no head was trained


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


def _numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(figures[name]) for name in METRICS if _is_number(figures.get(name))}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _data(record: Mapping[str, Any]) -> str:
    """Data set and how long its tail is; runs on other class counts or thresholds are other experiments."""
    counts = _counts(record)
    name = record["data"].get("dataset") or record["data"].get("root") or "data"
    low, high = _thresholds(record)
    shape = f"{sum(counts)} images, {len(counts)} classes, {max(counts)} to {min(counts)}"
    return f"{name} ({shape}; few <{low}, many >{high})"


def _configuration(path: Path) -> dict[str, Any]:
    """What a ``config.yaml`` holds; nothing where it cannot be read."""
    import yaml  # here, so that a report on comparisons is made with the standard library alone

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the first, where it was built, takes a 30th of the time
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _settings(config: Mapping[str, Any]) -> _Settings:
    if not config:
        return _Settings()
    common = without(config, _OF_THE_RUN)
    return _Settings(short_hash(common), flat(common))

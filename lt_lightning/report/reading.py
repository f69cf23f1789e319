"""What one ``results.json`` says: figures of a run, of a pipeline's stages, or of the methods that were compared."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from lt_lightning.report.comparisons import compared
from lt_lightning.report.options import flat
from lt_lightning.report.runs import Names, Protocol, Run
from lt_lightning.report.values import data_of, detail_of, hash_of, images_of, lists_of, numbers_of, seed_of
from lt_lightning.same_run import PLACES, short_hash, without

_OF_THE_RUN = (
    *PLACES,
    *(f"features.{option}" for option in ("cache", "device", "progress")),
    "seed_everything",
    "model.init_args.checkpoint",
)
"""Options in which runs of one experiment may differ."""

UNFINISHED = "unfinished.json"
"""What a pipeline keeps in its folder until it has results."""


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
    for run in _runs_in(record, path, split):
        yield replace(run, images=images_of(record, split), written=str(record.get("written") or ""))


def _runs_in(record: Mapping[str, Any], path: Path, split: str) -> Iterator[Run]:
    if "rows" in record:
        yield from compared(record, path, split)
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


def as_pipeline(noted: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The record of a pipeline that has not finished, with empty rows for the stages that it lacks.

    Args:
        noted: What its ``unfinished.json`` holds.
        path: That file; what it does not say is in the results of its stages. Where none has any, no row counts.

    Raises:
        AttributeError, KeyError, TypeError: If it is none of this package.
    """
    planned = ("stage1", *(_configuration(path.parent / "config.yaml").get("stage2") or ()))
    own = (_own_record(path.parent / name / "results.json") for name in planned)
    known = next(filter(None, own), {})
    stages = {**{name: {} for name in planned}, **noted["stages"]}
    return {
        **{key: known.get(key) for key in ("written", "seed", "data", "class_counts", "group_thresholds")},
        "preset": noted["preset"],
        "selection": stages["stage1"].get("selection"),
        "stages": stages if known else {name: {} for name in stages},
    }


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
    names = Names(data_of(record), str(record["preset"]), method, common)
    bins = evaluation.get("calibration", {}).get("bins", {})
    bins = lists_of(bins, len(bins.get("images", [])))
    detail = detail_of(record, evaluation, bins=bins, history=folder / "metrics.csv")
    # A checkpoint's name says little: another file may have had it, or have it in another folder.
    network = (record.get("stage1") or {}).get("sha256", "")
    evaluated = f"{_weights(record)} {hash_of(record['data'], split)}"
    identity, training = _identity(record, network, evaluated) if settings.common else ("", "")
    return Run(
        path,
        names,
        protocol,
        identity or str(path),
        seed_of(record),
        numbers_of(figures),
        detail,
        checkpoint=network,
        evaluated=evaluated,
        split=split,
        options=settings.options,
        training=training,
    )


def _identity(record: Mapping[str, Any], network: str, evaluated: str) -> tuple[str, str]:
    """``identity`` and ``training`` of a run; both empty of one that repeats no other."""
    seed, start = seed_of(record), network or record.get("checkpoint")
    if "l2" in record:  # a probe draws nothing, so that it needs no seed to be the same again
        return f"{start} {hash_of(record['data'], 'train')} {evaluated}", ""
    if seed is None or seed is False:
        return "", ""
    return f"{seed} {start} {evaluated}", f"trained {seed} {start}" if _has_trained(record) else ""


def _weights(record: Mapping[str, Any]) -> str:
    """Which weights a record has figures of: the step of a training that is known, else the file's run or content."""
    if _has_trained(record):  # what it went on from is its own, as of a job that was interrupted
        return str(record.get("steps"))
    start = record.get("started_from") or {}
    if _training(record):
        return str(start.get("step"))
    # Files of equal weights differ: Lightning writes into them in which folder they lie.
    return f"{start['run']} {start['step']}" if "run" in start else str(start.get("sha256", ""))


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

"""``--ckpt_path``: what a checkpoint says of its model and of images holds where nothing else was typed.

Lightning lays a checkpoint's arguments over the command line's: ``test --ckpt_path x --model.flip_average true`` would
test without. Here they lie under them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from lightning.pytorch.utilities import rank_zero_warn

from lt_lightning.backbones import without_published_weights
from lt_lightning.checkpoints import RECORD
from lt_lightning.checkpoints.opening import open_safely
from lt_lightning.errors import UsageError
from lt_lightning.records import FROM_DATA, model_of, read_record, require_file, require_state
from lt_lightning.same_run import PLACES
from lt_lightning.slurm import run_in

CONFIGURED = ("-c", "--config", "-h", "--help")
"""With one of these options nothing is filled in."""

_OF_IMAGES = ("image_size", "resize", "mean", "std")
"""Arguments of data whose images are files."""

_FOUND_BY_LIGHTNING = ("best", "last", "hpc")

_MAY_DIFFER = (
    *PLACES,
    "model.init_args.checkpoint",
    "data.init_args.eval_batch_size",
    *(f"data.init_args.{option}" for option in _OF_IMAGES),
)
"""Settings that may differ without another result, as a stage-1 file is not read again; or, those of images, that the
module holds against what the checkpoint says."""

_OF_STEPS = (
    "accumulate_grad_batches",
    "gradient_clip_algorithm",
    "gradient_clip_val",
    "limit_train_batches",
    "overfit_batches",
    "precision",
)
"""Options of a Trainer that change what a step learns. A longer training is one's purpose in going on."""

_SCHEDULES = (
    "BackboneFinetuning",
    "DRW",
    "DeferredLoss",
    "EMAWeightAveraging",
    "GradientAccumulationScheduler",
    "LinearWarmup",
    "ModelPruning",
    "StochasticWeightAveraging",
    "WeightAveraging",
    "WeightEMA",
)
"""Callbacks that change what is learnt, by the names that a configuration has; others watch."""


def with_model(arguments: Sequence[str]) -> list[str]:
    """A command line with the model of the checkpoint that it starts with, where no model was typed.

    Args:
        arguments: Command and options.

    Raises:
        UsageError: If the checkpoint is none of ours or was made in Python.
    """
    path = value_of(arguments, "--ckpt_path")
    if path is None or _is_found_by_lightning(path):
        return list(arguments)
    if any(is_given(arguments, option) for option in ("--model", *CONFIGURED)):
        return list(arguments)
    model = read_record(path, "ckpt_path").model
    if model is None:
        raise UsageError(
            f"`ckpt_path` {path!r} holds a model that was made in Python, so it cannot say what it is made of; give "
            f"`--model` and its arguments, or `-c` with a configuration."
        )
    plain = {key: value for key, value in model["init_args"].items() if key not in FROM_DATA}
    return _with_option(arguments, "--model", {"class_path": model["class_path"], "init_args": plain})


def with_backbone(arguments: Sequence[str]) -> list[str]:
    """A command line with the backbone of the checkpoint of ours that it names, where no backbone was typed.

    Args:
        arguments: Command and options; returned unchanged if the checkpoint is not ours, as it names no backbone.

    Raises:
        UsageError: If there is no such file, or it cannot be read.
    """
    path = value_of(arguments, "--checkpoint")
    if path is None:
        return list(arguments)
    if any(is_given(arguments, option) for option in ("--backbone", *CONFIGURED)):
        return list(arguments)
    backbone = (model_of(open_safely(Path(path))) or {}).get("init_args", {}).get("backbone")
    return list(arguments) if backbone is None else _with_option(arguments, "--backbone", backbone)


def with_images(parser: ArgumentParser, config: Namespace, typed: Namespace, path: str) -> Namespace:
    """Fill in how images are prepared from the checkpoint of ours that a command without a model starts from.

    Args:
        parser: Of the command.
        config: The whole configuration, defaults included.
        typed: What was typed, or stood in a file of ``-c``, and nothing else.
        path: The checkpoint; one that is not ours says nothing, and one that is missing is refused later.
    """
    contents = open_safely(Path(path)) if Path(path).is_file() else {}
    data = _data_as_recorded(config.data, typed.data, contents, {})
    filled: Namespace = config if data is None else parser.parse_object({"data": data}, config)
    return filled


def _with_option(arguments: Sequence[str], option: str, value: object) -> list[str]:
    """Add an option in front of the single arguments of it that were typed, so that those override it."""
    place = next((n for n, word in enumerate(arguments) if word.startswith(f"{option}.")), len(arguments))
    return [*arguments[:place], f"{option}={json.dumps(value)}", *arguments[place:]]


def is_given(arguments: Sequence[str], option: str) -> bool:
    """Whether an option was typed."""
    return any(word == option or word.startswith(f"{option}=") for word in arguments)


def value_of(arguments: Sequence[str], option: str) -> str | None:
    """The last value of an option, typed as ``--option value`` or ``--option=value``."""
    found = None
    for word, following in zip_longest(arguments, arguments[1:]):
        if word == option:
            found = following
        elif word.startswith(f"{option}="):
            found = word.partition("=")[2]
    return found


def with_checkpoint(parser: ArgumentParser, config: Namespace, typed: Namespace, command: str, path: str) -> Namespace:
    """Fill in what was not typed from the checkpoint that a command starts with, and say where the two differ.

    Args:
        parser: Of all commands.
        config: The whole configuration, defaults included.
        typed: What was typed, or stood in a file of ``-c``, and nothing else.
        command: ``fit``, ``validate``, ``test`` or ``predict``.
        path: Value of ``--ckpt_path``.

    Raises:
        UsageError: If there is no such file, it holds no weights, they are of the other stage, or training is to go on
            from what keeps no state of an optimiser.
    """
    if _is_found_by_lightning(path):
        return config
    require_file(path, "ckpt_path")
    contents = open_safely(Path(path), "ckpt_path")
    earlier: Mapping[str, Any] = {}
    if command == "fit":
        if "optimizer_states" not in contents:
            raise UsageError(
                f"`ckpt_path` {path!r} holds weights without the state of an optimiser, so training cannot go on from "
                f"it; give a checkpoint of `fit`, or start stage 2 from it by `--model.checkpoint`."
            )
        require_state(path, contents)
        earlier = _run_of(Path(path))
    data = _data_as_recorded(config[command].data, typed[command].data, contents, earlier)
    if data is not None:
        config = parser.parse_object({command: {"data": data}}, config)
    model = model_of(contents)
    if model is None:  # made in Python, or somebody else's: it cannot say what it is made of
        return config
    wanted = typed[command].model
    theirs, ours = (str(kind).rpartition(".")[2] for kind in (model["class_path"], wanted.class_path))
    if theirs != ours:
        start = (
            "stage 2 starts from it by `--model.checkpoint`" if ours == "RetrainModule" else f"give `--model {theirs}`"
        )
        raise UsageError(f"`ckpt_path` {path!r} is of a {theirs}, and `model` is a {ours}; {start}.")
    arguments = {key: value for key, value in model["init_args"].items() if key not in FROM_DATA}
    of_file = parser.parse_object({command: {"model": {**model, "init_args": arguments}}}, config)
    found: Namespace = parser.parse_object({command: {"model": wanted}}, of_file)
    differing = [_differences("model", of_file[command].model, found[command].model)]
    if command == "fit":
        differing += _differences_of_run(parser, found, earlier)
    if any(differing):
        state = "; optimizers and schedules go on as they were left there" if command == "fit" else ""
        rank_zero_warn(
            f"`ckpt_path` {path!r} was made with other settings than are given, which count{state}: "
            f"{', '.join(filter(None, differing))}."
        )
    return found


@contextmanager
def weights_of(path: str | None) -> Iterator[None]:
    """Make a model whose weights come from a checkpoint, without fetching the published ones that it once began with.

    Args:
        path: Value of ``--ckpt_path``; where it is none, or a word that no file may stand for, weights are fetched.
    """
    with nullcontext() if path is None or _is_found_by_lightning(str(path)) else without_published_weights():
        yield


def is_of_run_in(folder: Path, path: str) -> bool:
    """Whether a ``--ckpt_path`` for ``fit`` lets the run of a folder go on: a word of Lightning's, or a file of it.

    A file lies there, or holds the digest of the run that its last checkpoint does.
    """
    if path in _FOUND_BY_LIGHTNING or Path(path).resolve().is_relative_to(folder.resolve()):
        return True
    own = run_in(Path(path))
    return own is not None and own == run_in(folder / "checkpoints" / "last.ckpt")


def _data_as_recorded(
    data: Namespace, given: Namespace, contents: Mapping[str, Any], earlier: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Data that prepare images as a checkpoint's were, but for what was typed; ``None`` where they cannot be told.

    What the run's own configuration left to the data is left to them again: a run that goes on is to have the same.
    """
    of_run = (earlier.get("data") or {}).get("init_args") or {}
    recorded = (contents.get(RECORD) or {}).get("transform") or {}
    there = recorded | {key: of_run[key] for key in _OF_IMAGES if key in recorded and key in of_run}
    options, chosen = (dict(one.get("init_args") or {}) for one in (data, given))
    if not set(_OF_IMAGES) <= there.keys() & options.keys():
        return None
    # Who types one of both sizes means another scale.
    sizes = [] if {"image_size", "resize"} & chosen.keys() else ["image_size", "resize"]
    found = {key: there[key] for key in (*sizes, "mean", "std") if key not in chosen}
    return {"class_path": data.class_path, "init_args": {**chosen, **found}}


def _is_found_by_lightning(path: str) -> bool:
    return path in _FOUND_BY_LIGHTNING or "://" in path or path.startswith("registry:")


def _run_of(path: Path) -> Mapping[str, Any]:
    """The configuration of the run that has saved a checkpoint, while that lies in its folder; else nothing."""
    folder = path.resolve().parent
    try:
        found = yaml.safe_load((folder.parent / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if folder.name == "checkpoints" and isinstance(found, Mapping) else {}


def _differences_of_run(parser: ArgumentParser, config: Namespace, earlier: Mapping[str, Any]) -> Iterator[str]:
    """Settings of data and steps that were given otherwise than to the run that training goes on from, in words.

    A job's configuration may be edited before it is submitted again. A model's settings, and how images are prepared,
    the checkpoint itself holds.
    """
    try:
        kept = {option: earlier["trainer"][option] for option in (*_OF_STEPS, "callbacks")}
        parts = {"seed_everything": earlier["seed_everything"], "trainer": kept, "data": earlier["data"]}
        recorded = parser.parse_object({"fit": parts}, config).fit
    except (KeyError, TypeError, ArgumentError):
        return  # nobody knows, or it is none of ours
    given = config.fit
    if recorded.seed_everything != given.seed_everything:
        yield f"`seed_everything` {given.seed_everything} (there {recorded.seed_everything})"
    steps = (_of_steps(part.trainer) for part in (recorded, given))
    yield _differences("trainer", *steps)
    yield _differences("data", recorded.data, given.data)


def _of_steps(trainer: Namespace) -> dict[str, Any]:
    """What a Trainer's options say of steps, the callbacks among them in words."""
    callbacks = trainer.callbacks if isinstance(trainer.callbacks, list) else [trainer.callbacks]
    named = [(str(one.class_path).rpartition(".")[2], _arguments(one)) for one in callbacks if one is not None]
    schedules = ", ".join(sorted(f"{name}({given})" for name, given in named if name in _SCHEDULES)) or "none"
    return {**{option: trainer[option] for option in _OF_STEPS}, "callbacks": schedules}


def _arguments(part: Namespace) -> str:
    return ", ".join(f"{name}={value}" for name, value in dict(part.get("init_args") or {}).items())


def _differences(part: str, there: Namespace | Mapping[str, Any], here: Namespace | Mapping[str, Any]) -> str:
    """Arguments that were given otherwise, in words."""
    recorded, given = dict(there.items()), dict(here.items())
    return ", ".join(
        f"`{part}.{key.replace('init_args.', '')}` {value} (there {recorded[key]})"
        for key, value in given.items()
        if key in recorded and _plain(recorded[key]) != _plain(value) and f"{part}.{key}" not in _MAY_DIFFER
    )


def _plain(value: object) -> object:
    """A value; of our own classes the name, as their paths may be long or short."""
    return value.rpartition(".")[2] if isinstance(value, str) and value.startswith("lt_lightning.") else value

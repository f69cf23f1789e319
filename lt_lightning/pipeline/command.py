"""``lt-lightning pipeline``."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lt_lightning import presets
from lt_lightning.errors import UsageError
from lt_lightning.interruption import interruptible
from lt_lightning.nulls import refuse_nulls
from lt_lightning.parser_errors import sentences
from lt_lightning.pipeline import progress
from lt_lightning.pipeline.parser import (
    DEVICES,
    RESUME,
    build_parser,
    method_names,
    nothing_to_do,
    without_left_out,
)
from lt_lightning.pipeline.stages import Pipeline, show_results
from lt_lightning.resuming import value_of
from lt_lightning.same_run import without
from lt_lightning.signals import jobs_put_back
from lt_lightning.trainer_errors import trainer_sentences

_MAY_DIFFER = (
    "output",
    *(f"trainer.{option}" for option in (*DEVICES, "benchmark", "enable_progress_bar")),
    "data.init_args.root",
    "data.init_args.num_workers",
)
"""What says where and on which devices a pipeline runs, which may be others when it goes on."""


@jobs_put_back()
def main(argv: Sequence[str]) -> None:
    """Run a pipeline, or go on with one.

    Args:
        argv: ``pipeline`` and its options, as on the command line.
    """
    arguments = list(argv[1:])
    begun = value_of(arguments, RESUME)
    if begun is not None:
        progress.require_begun(Path(begun))
        arguments = ["-c", str(Path(begun) / progress.CONFIG), *_without(arguments, RESUME)]
    methods = method_names(arguments)
    parser = build_parser(methods)
    if not methods and not any(word == "-h" or word.partition("=")[0].endswith("help") for word in arguments):
        raise nothing_to_do(arguments)
    with sentences("pipeline", parser=parser):
        config = parser.parse_args(list(without_left_out(arguments, methods)))
    refuse_nulls(config)
    if "resume" in config:
        raise UsageError(f"`resume` is {config.resume!r} in a file, but is only known on the command line; type it.")
    remains = progress.NOTHING_REMAINS if begun is None else progress.what_remains(Path(begun))
    with interruptible(remains, "data.batch_size", "data.eval_batch_size"), trainer_sentences():
        pipeline = Pipeline(parser, config, methods, presets.name_among(map(str, config.config or []), "pipeline"))
        if begun is None:
            folders = progress.folders_of_this_job(Path(config.output).resolve())  # a job may run several, of all seeds
            pipeline.run(next((folder for folder in folders if not any(_changes(folder, pipeline.text))), None))
            return
        folder = Path(begun)
        _refuse_changes(folder, pipeline.text)
        if progress.has_finished(folder):
            show_results(json.loads((folder / progress.RESULTS).read_text(encoding="utf-8")), folder)
        else:
            pipeline.run(folder)


def _without(arguments: Sequence[str], option: str) -> Iterator[str]:
    """The words of a command line but for an option and its value."""
    words = iter(arguments)
    for word in words:
        if word == option:
            next(words, None)
        elif not word.startswith(f"{option}="):
            yield word


def _refuse_changes(folder: Path, config: str) -> None:
    """Refuse to go on under a configuration with which stages that have finished would not have been the same."""
    for key, there, here in _changes(folder, config):
        raise UsageError(
            f"`{key.replace('init_args.', '')}` is {here!r}, but {there!r} in the configuration with which "
            f"{str(folder)!r} began; leave it as it was, or start a new run without `{RESUME}`."
        )


def _changes(folder: Path, config: str) -> Iterator[tuple[str, Any, Any]]:
    """Every key in which a configuration differs from that of a pipeline, with the value there and here."""
    there, here = (_flat(without(yaml.safe_load(text), _MAY_DIFFER)) for text in (progress.begun_with(folder), config))
    for key in {**there, **here}:
        if there.get(key) != here.get(key):
            yield key, there.get(key), here.get(key)


def _flat(config: Mapping[str, Any], start: str = "") -> dict[str, Any]:
    """Every single value by its whole name."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= _flat(value, f"{start}{key}.") if isinstance(value, Mapping) and value else {f"{start}{key}": value}
    return found

"""``inspect``: how long the tail is, what is missing, and whether images are there twice."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch.cli import LightningArgumentParser

from lt_lightning import presets
from lt_lightning.config_files import ConfigFile, apply_settings, command_parser
from lt_lightning.data import LTDataModule
from lt_lightning.drafts import check_new_file, new_file
from lt_lightning.errors import UsageError, refusing_unbegun_modules
from lt_lightning.inspecting.duplicates import find_duplicates
from lt_lightning.inspecting.rendering import class_table, duplicate_sentence, group_table, record, split_table
from lt_lightning.inspecting.summary import remarks, summarize
from lt_lightning.interruption import interruptible
from lt_lightning.nulls import refuse_nulls
from lt_lightning.parser_errors import sentences
from lt_lightning.quiet import quiet
from lt_lightning.results import provenance, write_json
from lt_lightning.tables import show


def main(argv: Sequence[str]) -> None:
    """Look at a data set.

    Args:
        argv: ``inspect`` and its options, as on the command line.
    """
    quiet()
    parser = build_parser()
    with sentences("inspect", parser=parser):
        config = parser.parse_args(list(argv[1:]))
    refuse_nulls(config)
    if config.output is not None:
        check_new_file(Path(config.output), "output", [".json"], config.overwrite)
    with refusing_unbegun_modules("data"):
        data = parser.instantiate(config).data
    with interruptible("nothing has been written; run the same command again."):
        summary = summarize(data)
        duplicates = find_duplicates(data) if config.duplicates else None
        kind = type(data).__name__
        title = f"{kind}: {len(summary.class_names)} classes, imbalance ratio {summary.imbalance_ratio:.4g}"
        for table in (split_table(summary, title), group_table(summary), class_table(summary)):
            show(table)
        notes = remarks(summary, data)
        for note in notes + [duplicate_sentence(found) for found in duplicates or []]:
            print(f"note: {note}")
        if duplicates == []:
            print("No image is there twice.")
        if config.output is not None:
            made = {**provenance(), "data": data.describe_split()}
            with new_file(Path(config.output), "output", config.overwrite) as draft:
                write_json(draft, made | record(summary, notes, duplicates))
    if config.output is not None:  # out of there, where nothing has been written
        print(f"written to {config.output}")


def build_parser() -> LightningArgumentParser:
    """The parser of ``inspect``."""
    parser = command_parser(
        "inspect",
        description="Count the images of each class in each split, before anything is trained.",
        config_help="A YAML file or preset whose `data` is taken.",
        action=_DataOfConfig,
    )
    parser.add_argument("--data", type=LTDataModule, required=True, help="Training, validation and test images.")
    parser.add_argument(
        "--duplicates",
        type=bool,
        default=False,
        help="Whether to read all images and find those that are there twice.",
    )
    parser.add_argument("--output", type=str | None, default=None, help="A .json file to write everything to.")
    parser.add_argument("--overwrite", type=bool, default=False, help="Whether `output` is replaced if it exists.")
    return parser


class _DataOfConfig(ConfigFile):
    """``-c``: of a preset or file for another command, the part that says what the data are."""

    @staticmethod
    def apply_config(parser: ArgumentParser, cfg: Namespace, dest: str, value: Any) -> None:
        path = presets.resolve(str(value))
        content = presets.load(path)
        if not isinstance(content, Mapping) or "data" not in content:
            raise UsageError(f"`--config` {str(value)!r} says nothing of `data`; give one that does, or `--data`.")
        apply_settings(parser, cfg, dest, path, {"data": content["data"]})

"""``compare``: which stage-2 method helps a checkpoint's tail, and by how much."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.cli import LightningArgumentParser

from lt_lightning import losses, samplers  # noqa: F401  # short class names are looked up in what is imported
from lt_lightning.backbones import Backbone, without_published_weights
from lt_lightning.checkpoints import read
from lt_lightning.comparing.comparison import compare
from lt_lightning.comparing.files import write_all
from lt_lightning.comparing.leaderboard import leaderboards, ordered, priors_table
from lt_lightning.comparing.outcome import Comparison, Options
from lt_lightning.comparing.record import under_priors
from lt_lightning.comparing.saving import check_name
from lt_lightning.config_files import command_parser
from lt_lightning.data import LTDataModule
from lt_lightning.errors import UsageError, refusing_unbegun_modules
from lt_lightning.features import ExtractionOptions
from lt_lightning.features.joining import joined_processes
from lt_lightning.interruption import interruptible
from lt_lightning.modules.mismatch import fitting_names
from lt_lightning.nulls import refuse_nulls
from lt_lightning.parser_errors import sentences
from lt_lightning.processes import is_first_of_group, wait_for_all
from lt_lightning.quiet import quiet
from lt_lightning.results import check_writable
from lt_lightning.resuming import with_backbone, with_images
from lt_lightning.tables import fits, show

_READ_APART = {"seeds", "features", "checkpoint_class_names"}


def main(argv: Sequence[str]) -> None:
    """Run a comparison.

    Args:
        argv: ``compare`` and its options, as on the command line.
    """
    quiet()
    parser = build_parser()
    with sentences("compare", parser=parser):
        words = with_backbone(argv)[1:]
        config = parser.parse_args(words)
        if config.backbone is None:
            raise _no_backbone(config.checkpoint)
        config = with_images(parser, config, parser.parse_args(words, defaults=False), config.checkpoint)
    refuse_nulls(config)
    output = Path(config.output)
    checkpoint = Path(config.checkpoint)
    check_name(checkpoint)
    check_writable(output, checkpoint.stat().st_size if checkpoint.is_file() else 0)
    # Those of the checkpoint take the place of all that the backbone could fetch, unless a part is enough.
    fetching = nullcontext() if config.allow_partial else without_published_weights()
    with fetching, refusing_unbegun_modules("backbone"):
        made = parser.instantiate(config)
    told = {key.name: config[key.name] for key in fields(Options) if key.name not in _READ_APART}
    names = _names(config.checkpoint_class_names)
    options = Options(seeds=_seeds(config.seeds), features=made.features, checkpoint_class_names=names, **told)
    if config.keep_runs and config.protocol == "paper":
        raise UsageError(
            "`keep_runs` true cannot go with `protocol` paper, whose epochs are chosen on test images; train what you "
            "want to keep with `lt-lightning fit`."
        )
    written: list[str] = []

    def what_remains() -> str:
        if written:
            return f"the results are {written[0]}; checkpoints may be missing, and the same command makes a new folder."
        return str(made.features.what_remains())

    # Papers' protocol trains on images.
    batch_size = "batch_size" if config.protocol == "paper" else "features.batch_size"
    with interruptible(what_remains, batch_size), joined_processes():
        found = compare(config.checkpoint, made.backbone, made.data, config.methods, config.grid, options)
        if is_first_of_group():
            text = parser.dump(config, skip_unset=False)
            try:
                _print(found, config.test_priors)  # before anything is written: a full disk costs no figures
            finally:  # and a reader that has gone, as of `| head`, no files
                for line in write_all(found, output, text, yaml.safe_load(text)["backbone"], config.keep_runs):
                    written.append(line)
                    print(line)
        wait_for_all()


def build_parser() -> LightningArgumentParser:
    """The parser of ``compare``."""
    parser = command_parser(
        "compare",
        description="Try many stage-2 methods on one checkpoint, choose settings on validation images, test each once, "
        "print one table.",
        config_help="A YAML file with these options.",
    )
    parser.add_argument(
        "--checkpoint", type=str, required=True, help="Stage 1: a checkpoint of this package, or a plain PyTorch file."
    )
    parser.add_argument(
        "--backbone",
        type=Backbone,
        default=None,
        help="Network whose weights the checkpoint holds. Leave it out for a checkpoint of this package, which names "
        "its own; give it for any other file.",
    )
    parser.add_argument("--data", type=LTDataModule, required=True, help="Training, validation and test images.")
    parser.add_argument(
        "--methods",
        type=str | list[str],
        default="all",
        help="`all`, or some, separated by commas: methods, presets, YAML files, import paths of heads or losses.",
    )
    parser.add_argument(
        "--grid",
        type=dict[str, Any],
        default={},
        help="Values to try, such as --grid.lr 1e-4,1e-3 --grid.delta 0.9,0.98; by default eight of most methods.",
    )
    parser.add_argument(
        "--seeds",
        type=int | str | list[int],
        default="0",
        help="Each method trains once with each, such as 0,1,2; figures are means over them.",
    )
    parser.add_class_arguments(Options, None, skip=_READ_APART)
    parser.add_argument(
        "--checkpoint_class_names",
        type=list[str] | str | None,
        default=None,
        help="Class of each row of the checkpoint's classifier, separated by commas or, where names have some, as a "
        "list; by default in the data's order.",
    )
    parser.add_argument(
        "--test_priors",
        type=bool,
        default=False,
        help="Whether to show accuracy for long-tailed test sets as well, along and against the training set.",
    )
    parser.add_argument(
        "--keep_runs", type=bool, default=False, help="Whether to write a checkpoint of each method and seed."
    )
    parser.add_argument(
        "--output", type=str, default="runs/compare", help="Folder in which each run makes a new version_K."
    )
    parser.add_class_arguments(ExtractionOptions, "features")
    return parser


def _no_backbone(checkpoint: str) -> UsageError:
    """The error where neither the user nor the checkpoint names a network, with those that fit."""
    names = fitting_names(read(checkpoint))
    advice = f"its weights fit {' or '.join(names)}" if names else "no built-in one fits its weights"
    return UsageError(f"`--backbone` must be given, because {checkpoint!r} does not name its network; {advice}.")


def _print(found: Comparison, with_priors: bool) -> None:
    for table in leaderboards(found, fits):
        show(table)
    if with_priors:
        values = under_priors(found)
        show(priors_table({row.name: values[row.name] for row in ordered(found.rows) if row.name in values}))


def _seeds(given: int | str | list[int]) -> list[int]:
    if isinstance(given, int):
        return [given]
    parts = given.split(",") if isinstance(given, str) else given
    try:
        return [int(part) for part in parts]
    except ValueError as error:
        raise UsageError(f"`seeds` must be numbers, such as 0,1,2, but got {given!r}.") from error


def _names(given: str | list[str] | None) -> list[str] | None:
    if not isinstance(given, str):
        return given
    if given.lstrip().startswith("["):  # a list whose names a parser takes for numbers or for true and false
        return [str(name) for name in yaml.load(given, yaml.BaseLoader)]
    return [name.strip() for name in given.split(",")]

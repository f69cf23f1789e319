"""``probe``: a linear classifier on any frozen network, as a checkpoint that stage 2 starts from."""

import inspect
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.cli import LightningArgumentParser

from lt_lightning.backbones import Backbone, without_published_weights
from lt_lightning.comparing.leaderboard import EDGE
from lt_lightning.comparing.selection import BY_PENALTY
from lt_lightning.config_files import command_parser
from lt_lightning.data import LTDataModule
from lt_lightning.data.network_input import input_shape, say_how_images_are_prepared
from lt_lightning.drafts import write_text
from lt_lightning.errors import UsageError, check_above_0, refusing_unbegun_modules
from lt_lightning.features import ExtractionOptions
from lt_lightning.features.joining import joined_processes
from lt_lightning.interruption import interruptible
from lt_lightning.modules import save_probed
from lt_lightning.modules.origin import check_published
from lt_lightning.nulls import refuse_nulls
from lt_lightning.packages import is_ours
from lt_lightning.parser_errors import sentences
from lt_lightning.probing.network import load_backbone, past_of_network
from lt_lightning.probing.probe import PENALTIES, Probe, probe
from lt_lightning.processes import is_first_of_group, on_first
from lt_lightning.quiet import quiet
from lt_lightning.results import check_writable, file_and_hash, provenance, whole_or_gone, write_json
from lt_lightning.tables import accuracy_table, show

_DOWNLOADED = ("pretrained", "weights")
"""Arguments of our backbones that say which published weights they begin with."""


def main(argv: Sequence[str]) -> None:
    """Fit a classifier to a network's features.

    Args:
        argv: ``probe`` and its options, as on the command line.
    """
    quiet()
    parser = build_parser()
    with sentences("probe", parser=parser):
        config = parser.parse_args(list(argv[1:]))
    refuse_nulls(config)
    text = parser.dump(config, skip_unset=False)
    plain = yaml.safe_load(text)["backbone"]
    penalties = _penalties(config.l2)
    fetches = config.checkpoint is None or config.allow_partial  # else the file's weights take the place of all
    fetching = nullcontext() if fetches else without_published_weights()
    with fetching, refusing_unbegun_modules("backbone"):
        made = parser.instantiate(config)
    _check_weights(config.checkpoint, made.backbone, plain)
    output = Path(config.output)
    check_writable(output, sum(tensor.nbytes for tensor in made.backbone.state_dict().values()))
    with interruptible(made.features.what_remains(), "features.batch_size"), joined_processes():
        matched = config.checkpoint and load_backbone(config.checkpoint, made.backbone, config.allow_partial)
        if is_first_of_group():
            if matched:
                print(matched, flush=True)
            say_how_images_are_prepared(made.data)
            if config.checkpoint is None:
                check_published(made.backbone, made.data)
        found = probe(made.backbone, made.data, penalties, made.features)
        given = (config.checkpoint, config.allow_partial)
        path = on_first(lambda: _show_and_write(found, made.backbone, made.data, output, text, plain, *given))
        is_first = is_first_of_group()
    if is_first:  # out of there, where nothing is kept
        print(
            f"{path}: a stage 1 for `lt-lightning compare --checkpoint`, `fit --model.checkpoint`, `test` and `predict`"
        )


def build_parser() -> LightningArgumentParser:
    """The parser of ``probe``."""
    parser = command_parser(
        "probe",
        description="Give a pre-trained network a linear classifier for your classes, which stage 2 can start from.",
        config_help="A YAML file with these options.",
    )
    parser.add_argument(
        "--checkpoint",
        type=str | None,
        default=None,
        help="File of weights; by default the published ones that `backbone` asks for.",
    )
    parser.add_argument("--backbone", type=Backbone, required=True, help="Network whose features are classified.")
    parser.add_argument("--data", type=LTDataModule, required=True, help="Training, validation and test images.")
    parser.add_argument(
        "--l2",
        type=float | str | list[float],
        default="auto",
        help="Penalty on the weights of standardised features. Of several, such as 0.1,0.01, one is chosen on "
        "validation images; `auto` tries 1, 0.1, … 1e-5.",
    )
    parser.add_argument(
        "--allow_partial", type=bool, default=False, help="Whether the checkpoint may lack a part of the backbone."
    )
    parser.add_argument(
        "--output", type=str, default="runs/probe", help="Folder in which each run makes a new version_K."
    )
    parser.add_class_arguments(ExtractionOptions, "features")
    return parser


def _penalties(given: float | str | list[float]) -> tuple[float, ...]:
    if given == "auto":
        return PENALTIES
    parts = given.split(",") if isinstance(given, str) else given if isinstance(given, list) else [given]
    try:
        found = tuple(dict.fromkeys(float(part) for part in parts))
    except ValueError as error:
        raise UsageError(f"`l2` must be `auto`, a number, or several such as 0.1,0.01, but got {given!r}.") from error
    if not found:
        raise UsageError("`l2` must be `auto`, a number, or several such as 0.1,0.01, but got none.")
    for penalty in found:
        check_above_0(l2=penalty)
    return found


def _check_weights(checkpoint: str | None, backbone: Backbone, plain: str | Mapping[str, Any]) -> None:
    """Refuse one of our backbones that would stay as it was drawn at random."""
    kind = type(backbone)
    if checkpoint is not None or backbone.weights_file is not None:
        return
    if not is_ours(kind) or not backbone.state_dict():
        return  # one's own may have read its weights itself, and what has none needs none
    given = {} if isinstance(plain, str) else plain.get("init_args") or {}
    known = [name for name in _DOWNLOADED if name in inspect.signature(kind).parameters]
    if not any(given.get(name) for name in known):
        other = "".join(f" or `--backbone.{name}`" for name in known)
        raise UsageError(f"`backbone` {kind.__name__} is untrained; give its weights with `--checkpoint`{other}.")


def _show_and_write(
    found: Probe,
    backbone: Backbone,
    data: LTDataModule,
    output: Path,
    config: str,
    plain: str | dict[str, Any],
    checkpoint: str | None,
    allow_partial: bool,
) -> Path:
    title = f"linear classifier on {type(backbone).__name__}, l2 {found.chosen.l2:g}{EDGE[found.at_edge]}"
    # One table, unless test images are of other classes than validation images.
    for sizes, splits in groupby(found.evaluation.items(), key=lambda split: split[1]["group_sizes"]):
        rows = [(name, figures["accuracy"]) for name, figures in splits]
        show(accuracy_table(title, rows, sizes, data.group_thresholds))
    with whole_or_gone(output) as folder:
        write_text(folder / "config.yaml", config)
        path = folder / "probe.ckpt"
        past = past_of_network(backbone, checkpoint, allow_partial)
        save_probed(path, backbone, found.head, data, input_shape(data), {"backbone": plain}, past, _selection(found))
        write_json(folder / "results.json", _record(found, backbone, data, checkpoint))
    return path


def _selection(found: Probe) -> str:
    return BY_PENALTY if len(found.tried) > 1 else "none: the penalty was given"


def _record(found: Probe, backbone: Backbone, data: LTDataModule, checkpoint: str | None) -> dict[str, Any]:
    network = file_and_hash(checkpoint)
    return {
        **provenance(found.device),
        "preset": "probe",
        "seed": None,  # nothing is drawn
        "checkpoint": checkpoint,
        "started_from": network,
        "stage1": network,
        "backbone": type(backbone).__name__,
        "bn_mode": "eval",
        "head": "LinearHead",
        "loss": "CrossEntropyLoss",
        "data": data.describe_split(),
        "class_counts": data.class_counts,
        "class_names": data.class_names,
        "group_thresholds": list(data.group_thresholds),
        "selection": _selection(found),
        "l2": found.chosen.l2,
        "chosen_at_edge": found.at_edge,
        "tried": [{"l2": each.l2, "validation": each.score} for each in found.tried],
        "features": found.features,
        "evaluation": found.evaluation,
        "seconds": found.seconds,
    }

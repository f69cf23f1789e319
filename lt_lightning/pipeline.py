"""``pipeline``: stage 1, then stage-2 methods on its frozen backbone, then one table; one YAML, one command.

.. code-block:: yaml

    seed_everything: 0
    output: runs/mine           # each run makes a new version_K in it
    trainer: {accelerator: auto}    # devices, precision …: the same for all stages
    data: {class_path: CIFAR100LT, init_args: {root: data}}
    stage1:
      model: {class_path: RepresentationModule, init_args: {…}}
      trainer: {max_epochs: 200}
    stage2:
      lort:
        model: {class_path: RetrainModule, init_args: {…}}     # `checkpoint` is stage 1's last epoch
        trainer: {max_epochs: 20}
        sampler: ClassBalancedSampler    # of the data, a stage may change these three: never the split
        batch_size: 32
        augmentation: none               # or a class; `data`, as is the default, for the data's

``augmentation`` is what training images go through besides crops and flips; ``none`` or ``null`` leaves these alone.
"""

import inspect
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import yaml
from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser
from rich.console import Console
from torch import Tensor

from lt_lightning import presets
from lt_lightning.augmentations import Augmentation
from lt_lightning.callbacks.deferred import DeferredCallback
from lt_lightning.callbacks.load_test_images import LoadTestImagesFirst
from lt_lightning.callbacks.selecting import LAST_EPOCH, selection_of
from lt_lightning.data import LTDataModule
from lt_lightning.errors import UsageError
from lt_lightning.interruption import interruptible
from lt_lightning.main import (
    LTCLI,
    TRAINER_DEFAULTS,
    WHAT_REMAINS,
    PresetConfigFile,
    add_data_links,
    sigterm_interrupts,
    training_defaults,
)
from lt_lightning.modules import LTModule, RetrainModule
from lt_lightning.modules.divergence import unless_diverged
from lt_lightning.parser_errors import sentences
from lt_lightning.results import claim_folder, environment, write_json
from lt_lightning.samplers import EpochSampler
from lt_lightning.slurm import never_requeue
from lt_lightning.tables import accuracy_table, show
from lt_lightning.trainer_errors import trainer_sentences

_DEVICES = ("accelerator", "devices", "num_nodes", "strategy")
_SHARED = (*_DEVICES, "precision", "sync_batchnorm", "deterministic", "benchmark", "enable_progress_bar")
"""Trainer options that all stages have in common; every other one belongs to a stage."""
_OURS = ("logger", "default_root_dir", "enable_checkpointing", "fast_dev_run", *TRAINER_DEFAULTS)
"""Trainer options that the pipeline sets itself."""
_STAGE1 = "stage1"
_OF_DATA, _NONE = "data", "none"
"""A stage's ``augmentation`` where it is the data's, and where there is none."""
_OF_STAGES = ("sampler", "batch_size", "augmentation")
"""Options of the data that a stage may have of its own: none of them has a part in the split."""


def main(argv: Sequence[str]) -> None:
    """Run a pipeline.

    Args:
        argv: ``pipeline`` and its options, as on the command line.
    """
    arguments = list(argv[1:])
    methods = method_names(arguments)
    parser = build_parser(methods)
    if not methods and not any(word == "-h" or word.partition("=")[0].endswith("help") for word in arguments):
        raise UsageError("`stage2` names no method; give a configuration with `-c`, such as `-c quickstart`.")
    with sentences("pipeline"):
        config = parser.parse_args(arguments)
    with interruptible(WHAT_REMAINS, on_sigterm=False), sigterm_interrupts(), trainer_sentences():
        Pipeline(parser, config, methods).run()


def method_names(arguments: Sequence[str]) -> list[str]:
    """The stage-2 methods that configuration files and options speak of, in order of appearance.

    The parser is made for them, so they must be known before it parses.

    Raises:
        UsageError: If a stage sets what the pipeline decides for all stages.
    """
    found: dict[str, None] = {}
    for keys, value in _settings(arguments):
        if keys[0] == "stage2" and len(keys) > 1:
            found[keys[1]] = None
            if keys[1] == _STAGE1:
                raise UsageError(f"`stage2` names a method {_STAGE1!r}, which is the first stage; call it otherwise.")
        stage = ".".join(keys[:2]) if keys[0] == "stage2" else keys[0]
        option = keys[-1]
        if keys[0] in (_STAGE1, "stage2") and keys[-2:-1] == ("trainer",) and option in (*_SHARED, *_OURS):
            where = f"`trainer.{option}` for the whole pipeline" if option in _SHARED else "`output` instead"
            raise UsageError(f"`{stage}.trainer.{option}` is {value!r}, but stages cannot differ in it; set {where}.")
        if keys[0] == "stage2" and option == "checkpoint" and value is not None:
            raise UsageError(
                f"`{stage}.model.checkpoint` is {value!r}, but in a pipeline stage 2 starts from its own stage 1; "
                f"remove it, or use `lt-lightning fit` for an existing checkpoint."
            )
    return list(found)


def _settings(arguments: Sequence[str]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every (keys, value) that files and options set, before any validation."""
    words = iter(arguments)
    for word in words:
        option, separator, value = word.partition("=")
        if option in ("-c", "--config"):
            yield from _leaves(presets.load(value if separator else next(words, "")), ())
        elif option.startswith("--") and "." in option:
            yield tuple(option[2:].split(".")), value if separator else None


def _leaves(content: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(content, Mapping) and content:
        for key, value in content.items():
            yield from _leaves(value, (*keys, str(key)))
    elif keys:
        yield keys, content


def build_parser(methods: Sequence[str]) -> LightningArgumentParser:
    """The parser for these stage-2 methods; it finds misspelt keys and wrong types of all stages at once."""
    parser = LightningArgumentParser(
        prog="lt-lightning pipeline", description="Stage 1, then stage-2 methods, one table.", exit_on_error=False
    )
    parser.add_argument("-c", "--config", action=PresetConfigFile, help="A YAML file or the name of a preset.")
    parser.add_argument("--seed_everything", type=int, default=0, help="Seed of every stage.")
    parser.add_argument("--output", type=str, default="runs/pipeline", help="Each run makes a new version_K in it.")
    every = set(inspect.signature(Trainer).parameters)
    parser.add_class_arguments(Trainer, "trainer", skip=every - set(_SHARED), instantiate=False)
    parser.add_argument("--data", type=LTDataModule, required=True)
    for stage in (_STAGE1, *(f"stage2.{method}" for method in methods)):
        kind = LTModule if stage == _STAGE1 else RetrainModule
        parser.add_argument(f"--{stage}.model", type=kind, required=True, help=f"What {stage} trains.")
        parser.add_class_arguments(Trainer, f"{stage}.trainer", skip={*_SHARED, *_OURS}, instantiate=False)
        parser.add_argument(f"--{stage}.sampler", type=Callable[[Tensor, int], EpochSampler], help="Instead of data's.")
        parser.add_argument(f"--{stage}.batch_size", type=int, help="Instead of data's.")
        parser.add_argument(
            f"--{stage}.augmentation",
            type=Literal["data", "none"] | Callable[[], Augmentation] | None,
            default=_OF_DATA,
            help="A class instead of data's; none or null for crops and flips alone.",
        )
        add_data_links(parser, f"{stage}.model")
        if kind is RetrainModule:
            parser.link_arguments("output", f"{stage}.model.init_args.checkpoint", compute_fn=_stage1_checkpoint)
    return parser


def _stage1_checkpoint(output: str) -> str:
    """Stands for the file until stage 1 has written it."""
    return f"{output}/{_STAGE1}/checkpoints/last.ckpt"


class Pipeline:
    """A parsed pipeline, ready to run.

    Each stage goes through :class:`LTCLI`, so each leaves a configuration that ``lt-lightning fit`` can replay.

    Args:
        parser: What parsed ``config``.
        config: The whole configuration.
        methods: Names of the stage-2 methods.
    """

    def __init__(self, parser: LightningArgumentParser, config: Namespace, methods: Sequence[str]) -> None:
        for stage in (_STAGE1, *(f"stage2.{method}" for method in methods)):
            config[f"{stage}.augmentation"] = config[f"{stage}.augmentation"] or _NONE  # a dump leaves null out
        self.takes_augmentation = "augmentation" in config.data.get("init_args", {})
        self.text = parser.dump(config, skip_validation=True)  # it comes from the parser; validating takes seconds
        self.plan: dict[str, Any] = yaml.safe_load(self.text)
        self.plan["trainer"] |= training_defaults(self.plan["trainer"])
        self.preset = presets.name_among(map(str, config.config or []), "pipeline")
        self.methods = list(methods)
        self.rows: dict[str, dict[str, Any]] = {}
        self.selection = ""

    def run(self) -> None:
        """Check everything, train and test every stage, write and print the table."""
        data = self.check()
        folder = claim_folder(Path(self.plan["output"]).resolve())  # absolute: stages replay from any folder
        stage1 = self._stage(_STAGE1, folder, None)
        trainer = self._train_and_test(_STAGE1, stage1, data)
        assert trainer.log_dir is not None
        folder = Path(trainer.log_dir).parent  # under DDP the first process's choice, which Lightning has broadcast
        checkpoint = cast(Any, stage1.last_epoch).best_model_path
        thresholds = stage1.model.group_thresholds
        del stage1
        for method in self.methods:
            with unless_diverged(self.rows, method, folder / method):
                self._train_and_test(method, self._stage(method, folder, checkpoint), data)
        if trainer.is_global_zero:
            self._report(folder, data, thresholds)

    # -- before training ---------------------------------------------------------------------------------------------

    def check(self) -> LTDataModule:
        """Make every stage once, so that a mistake in the last one costs no training of the first.

        Returns:
            The data of all stages.

        Raises:
            UsageError: If parts of a stage do not go together, or a backbone differs from stage 1's.
        """
        first = self._stage(_STAGE1, None, None)
        _check_stage(first)
        self._check_augmentation(_STAGE1, first)
        wanted = {key: tensor.shape for key, tensor in first.model.backbone.state_dict().items()}
        for method in self.methods:
            stage = self._stage(method, None, "stage 1's last epoch")
            _check_stage(stage)
            self._check_augmentation(method, stage)
            if {key: tensor.shape for key, tensor in stage.model.backbone.state_dict().items()} != wanted:
                raise UsageError(
                    f"`stage2.{method}.model.backbone` {type(stage.model.backbone).__name__} differs from "
                    f"`stage1.model.backbone` {type(first.model.backbone).__name__}; give both the same."
                )
        return cast(LTDataModule, first.datamodule)

    def _stage(self, name: str, folder: Path | None, checkpoint: str | None) -> LTCLI:
        """Make one stage's model, trainer and data from its part of the plan."""
        part = self._part(name)
        data = {**self.plan["data"], "init_args": {**self.plan["data"].get("init_args", {})}}
        own = {key: part[key] for key in _OF_STAGES if part.get(key) not in (None, _OF_DATA)}
        if "augmentation" in own and not self.takes_augmentation:
            raise self._no_augmentation(name)
        if own.get("augmentation") == _NONE:
            own["augmentation"] = "NoAugmentation"
        data["init_args"] |= own
        model = {**part["model"], "init_args": {**part["model"].get("init_args", {})}}
        if checkpoint is not None:
            model["init_args"]["checkpoint"] = checkpoint
        trainer = {**self.plan["trainer"], **part["trainer"]}
        if folder is None:
            trainer |= {"logger": False, "enable_progress_bar": False}
        config = {"seed_everything": self.plan["seed_everything"], "trainer": trainer, "model": model, "data": data}
        stage = LTCLI(config, run=False, folder=(folder or Path(self.plan["output"])) / name)
        never_requeue(stage.trainer)
        return stage

    def _part(self, name: str) -> dict[str, Any]:
        """What the plan says of one stage."""
        return cast(dict[str, Any], self.plan[_STAGE1] if name == _STAGE1 else self.plan["stage2"][name])

    def _check_augmentation(self, name: str, stage: LTCLI) -> None:
        """Refuse an augmentation of a stage that no image would go through."""
        if self._part(name)["augmentation"] == _OF_DATA:
            return
        if stage.datamodule.describe_augmentation() is None:
            raise self._no_augmentation(name)
        augmentation = stage.datamodule.augmentation
        if not _trains(stage.model) and augmentation.changes:
            raise UsageError(
                f"`stage2.{name}.augmentation` is {type(augmentation).__name__}, but "
                f"`{type(stage.model.head).__name__}` has nothing to train, so no image would go through it; remove it."
            )

    def _no_augmentation(self, name: str) -> UsageError:
        given = self._part(name)["augmentation"]
        shown = given if isinstance(given, str) else str(given["class_path"]).rpartition(".")[2]
        stage = name if name == _STAGE1 else f"stage2.{name}"
        data = str(self.plan["data"]["class_path"]).rpartition(".")[2]
        return UsageError(
            f"`{stage}.augmentation` is {shown}, but `data` {data} has no `augmentation`, argument and attribute, "
            f"that it could replace; remove it."
        )

    # -- training ----------------------------------------------------------------------------------------------------

    def _train_and_test(self, name: str, stage: LTCLI, data: LTDataModule) -> Trainer:
        """Fit what trains, evaluate, and keep the row."""
        for option in _OF_STAGES:
            if option in vars(stage.datamodule):  # not all data have an augmentation
                setattr(data, option, vars(stage.datamodule)[option])
        model, trainer = cast(LTModule, stage.model), cast(Any, stage.trainer)
        if trainer.is_global_zero:
            number = [_STAGE1, *self.methods].index(name) + 1
            Console().rule(f"{name} ({number} of {len(self.methods) + 1})", align="left")
        started = time.perf_counter()
        if _trains(model):
            trainer.callbacks.append(LoadTestImagesFirst())
            trainer.fit(model, datamodule=data)
        elif data.has_validation:
            trainer.validate(model, datamodule=data, verbose=False)
        seconds = time.perf_counter() - started
        trainer.test(model, datamodule=data, verbose=False)
        chosen = selection_of({callback.state_key: callback.state_dict() for callback in trainer.callbacks})
        self.selection = self.selection or ("" if chosen == LAST_EPOCH else f"{chosen}, in {name}")
        self.rows[name] = {
            "folder": trainer.log_dir,
            "training_seconds": seconds,
            "epochs": trainer.current_epoch,
            "augmentation": data.describe_augmentation() if _trains(model) else None,
            **{split: evaluation["accuracy"] for split, evaluation in model.evaluation.items()},
            "group_sizes": model.evaluation["test"]["group_sizes"],
        }
        return cast(Trainer, trainer)

    def _report(self, folder: Path, data: LTDataModule, thresholds: tuple[int, int]) -> None:
        (folder / "config.yaml").write_text(self.text)
        record = {
            "environment": environment(),
            "command": shlex.join(sys.argv),
            "preset": self.preset,
            "seed": self.plan["seed_everything"],
            "data": data.describe_split(),
            "class_counts": data.class_counts,
            "group_thresholds": list(thresholds),
            "selection": self.selection or "none: every stage's last epoch",
            "stages": self.rows,
        }
        write_json(folder / "results.json", record)
        title = f"{self.preset}: test accuracy on one frozen backbone, seed {self.plan['seed_everything']}"
        rows = [(name.replace("stage1", "stage 1"), row.get("test", {})) for name, row in self.rows.items()]
        show(accuracy_table(title, rows, self.rows[_STAGE1]["group_sizes"], thresholds))
        print(f"written to {folder}/results.json")


def _trains(model: LTModule) -> bool:
    return not isinstance(model, RetrainModule) or model.trains


def _check_stage(stage: LTCLI) -> None:
    stage.model.check(stage.datamodule, stage.trainer)
    for callback in cast(Any, stage.trainer).callbacks:
        if isinstance(callback, DeferredCallback):
            callback.check_run(stage.trainer, stage.model, stage.datamodule)

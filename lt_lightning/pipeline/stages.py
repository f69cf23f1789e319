"""The stages of a pipeline: all made and checked, then trained and tested one after another."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from lt_lightning.callbacks.averaging import WeightEMA
from lt_lightning.callbacks.deferred import DeferredCallback
from lt_lightning.callbacks.load_test_images import LoadTestImagesFirst
from lt_lightning.callbacks.selecting import selection_of
from lt_lightning.config_files import lost_values
from lt_lightning.data import LTDataModule
from lt_lightning.data.base import Split
from lt_lightning.devices.choice import training_defaults
from lt_lightning.errors import UsageError
from lt_lightning.interruption import interruptible
from lt_lightning.main import LTCLI
from lt_lightning.modules import LTModule, RetrainModule
from lt_lightning.modules.divergence import DivergedError
from lt_lightning.modules.rehearsal import rehearse_module, rehearse_start
from lt_lightning.pipeline import interrupted, progress
from lt_lightning.pipeline.parser import NO_AUGMENTATION, OF_STAGES, STAGE1
from lt_lightning.pipeline.progress import Progress
from lt_lightning.results import claim_folder, config_and_hash, provenance
from lt_lightning.retraining.naming import naming
from lt_lightning.signals import sigterm_interrupts
from lt_lightning.tables import Printer, accuracy_table, show
from lt_lightning.trainer_options import TrainerOptions


class Pipeline:
    """A parsed pipeline, ready to run.

    Each stage goes through :class:`LTCLI`, so each leaves a configuration that ``lt-lightning fit`` can replay.

    Args:
        parser: What parsed ``config``.
        config: The whole configuration.
        methods: Names of the stage-2 methods.
        preset: What the pipeline is called in its results.
    """

    def __init__(
        self, parser: LightningArgumentParser, config: Namespace, methods: Sequence[str], preset: str = "pipeline"
    ) -> None:
        options = config.data.get("init_args")
        self.data_arguments = set() if options is None else set(vars(options))
        # Validating what comes from the parser takes seconds; for a null left out a stage would take the default.
        self.text = parser.dump(config, skip_validation=True, skip_unset=False)
        self.plan: dict[str, Any] = yaml.safe_load(self.text)
        for key, value in lost_values(self.plan):
            raise UsageError(
                f"`{key}` is {value}, which cannot be written into the configuration that each stage is made from; "
                f"give it a value that can, such as the path of a class."
            )
        self.plan["trainer"] |= training_defaults(self.plan["trainer"])
        self.preset = preset
        self.methods = list(methods)
        self.device = torch.device("cpu")

    def run(self, begun: Path | None = None) -> None:
        """Check everything, train and test every stage, write and print the table.

        Args:
            begun: Folder of a pipeline that was interrupted, to go on with; by default a new one is made.
        """
        data = self.check()
        # Absolute: stages replay from any folder.
        folder = claim_folder(Path(self.plan["output"]).resolve()) if begun is None else begun.resolve()
        lock = None
        try:
            lock = progress.lock(folder)
            remains = partial(progress.what_remains, folder)
            with interruptible(remains, "data.batch_size", "data.eval_batch_size"), sigterm_interrupts():
                done = Progress.begin(folder, self.preset, self.text) if begun is None else Progress.of(folder)
                if begun is not None and lock is not None:  # else another process may be writing there
                    for name in (".", STAGE1, *self.methods):
                        interrupted.remove_drafts(folder / name)
                self._run(done, data, resumes=begun is not None)
        finally:
            if lock is not None:
                lock.release()
            if begun is None:
                progress.remove_unbegun(folder)

    def _run(self, done: Progress, data: LTDataModule, resumes: bool) -> None:
        """Train and test what has not finished."""
        started, folder = time.perf_counter(), done.folder
        if resumes:
            interrupted.expect_what_is_there()
        if done.rows:
            rank_zero_only(print)(f"{', '.join(done.rows)} of {folder}: finished before")
        if STAGE1 not in done.rows:
            trainer = self._train_and_test(STAGE1, self._stage(STAGE1, folder, None), data, done, resumes)
            assert trainer.log_dir is not None
            folder = Path(trainer.log_dir).parent  # under DDP the first process's choice, which Lightning has broadcast
        checkpoint = str(interrupted.last_epoch(folder / STAGE1))
        for method in self.methods:
            if method not in done.rows:
                try:
                    stage = self._stage(method, folder, checkpoint)
                    self._train_and_test(method, stage, data, done, resumes)
                except DivergedError as error:  # which costs the other methods nothing
                    done.rows[method] = {"folder": str(folder / method), "diverged": True}
                    rank_zero_warn(f"`stage2.{method}` has no figures, the other methods go on. {error}")
                done.save()
        self._report(done, data, None if resumes else time.perf_counter() - started)

    # -- before training ---------------------------------------------------------------------------------------------

    def check(self) -> LTDataModule:
        """Make every stage once, so that a mistake in the last one costs no training of the first.

        Returns:
            The data of all stages.

        Raises:
            UsageError: If parts of a stage do not go together, a backbone differs from stage 1's, or stage 1's head
                holds no classifier that stage 2 could start from.
        """
        first = self._stage(STAGE1, None, None)
        self.device = first.trainer.strategy.root_device
        with _of_stage(STAGE1):
            self._check_stage(STAGE1, first)
        wanted = {key: tensor.shape for key, tensor in first.model.backbone.state_dict().items()}
        for method in self.methods:
            with _of_stage(method):
                stage = self._stage(method, None, "stage 1's last epoch")
                self._check_stage(method, stage)
                _rehearse(method, stage)
            if {key: tensor.shape for key, tensor in stage.model.backbone.state_dict().items()} != wanted:
                raise UsageError(
                    f"`stage2.{method}.model.backbone` {type(stage.model.backbone).__name__} differs from "
                    f"`stage1.model.backbone` {type(first.model.backbone).__name__}; give both the same."
                )
            with _of_stage(method), _advising_before_stage1():
                rehearse_start(cast(RetrainModule, stage.model), cast(LTModule, first.model))
        return cast(LTDataModule, first.datamodule)

    def _stage(self, name: str, folder: Path | None, checkpoint: str | None) -> LTCLI:
        """Make one stage's model, trainer and data from its part of the plan."""
        part = self._part(name)
        data = {**self.plan["data"], "init_args": {**self.plan["data"].get("init_args", {})}}
        own = {key: part[key] for key in OF_STAGES if part.get(key) is not None}
        for key in own.keys() - self.data_arguments:
            kind = str(data["class_path"]).rpartition(".")[2]
            raise UsageError(
                f"`{_where(name)}.{key}` is given, but `data` {kind} has no argument `{key}` that it could replace; "
                f"remove it."
            )
        if own.get("augmentation") == NO_AUGMENTATION:
            own["augmentation"] = "NoAugmentation"
        data["init_args"] |= own
        model = {**part["model"], "init_args": {**part["model"].get("init_args", {})}}
        if checkpoint is not None:
            model["init_args"]["checkpoint"] = checkpoint
        trainer = {**self.plan["trainer"], **part["trainer"]}
        if folder is None:
            trainer |= {"logger": False, "enable_progress_bar": False}
        config = {"seed_everything": self.plan["seed_everything"], "trainer": trainer, "model": model, "data": data}
        return LTCLI(config, run=False, folder=(folder or Path(self.plan["output"])) / name)

    def _part(self, name: str) -> dict[str, Any]:
        """What the plan says of one stage."""
        return cast(dict[str, Any], self.plan[STAGE1] if name == STAGE1 else self.plan["stage2"][name])

    def _check_stage(self, name: str, stage: LTCLI) -> None:
        """Refuse what would only show while the stage trains.

        Raises:
            UsageError: If its parts do not go together, its training has no end, or it has an augmentation although
                its data take one, but show none that it could replace.
        """
        model, trainer = cast(LTModule, stage.model), cast(Any, stage.trainer)
        if _trains(model) and not TrainerOptions(self._part(name)["trainer"]).has_end:
            raise UsageError(
                f"`{_where(name)}.trainer.max_epochs` is not set, so training would have no end; give it a number."
            )
        model.check(stage.datamodule, trainer)
        for callback in trainer.callbacks:
            if isinstance(callback, DeferredCallback | WeightEMA):
                callback.check_run(trainer, model, stage.datamodule)
        if self._part(name).get("augmentation") is not None and stage.datamodule.describe_augmentation() is None:
            raise UsageError(
                f"`{_where(name)}.augmentation` is given, but `data` {type(stage.datamodule).__name__} has no "
                f"attribute `augmentation` that it could replace; remove it."
            )

    # -- training ----------------------------------------------------------------------------------------------------

    def _train_and_test(self, name: str, stage: LTCLI, data: LTDataModule, done: Progress, resumes: bool) -> Trainer:
        """Fit what trains, from where it was interrupted if it was; evaluate, and keep the row.

        A stage that was interrupted has no ``training_seconds``: nobody has timed all of them.
        """
        for option in OF_STAGES:
            if option in vars(stage.datamodule):  # not all data have an augmentation
                setattr(data, option, vars(stage.datamodule)[option])
        model, trainer, folder = cast(LTModule, stage.model), cast(Any, stage.trainer), done.folder / name
        if trainer.is_global_zero:
            number = [STAGE1, *self.methods].index(name) + 1
            Printer().rule(f"{name} ({number} of {len(self.methods) + 1})", align="left")
        started, trains = time.perf_counter(), _trains(model)
        begun, record, weights = None, None, None
        if resumes:
            begun, record = interrupted.newest_checkpoint(folder), interrupted.record_of_training(folder)
            interrupted.keep_metrics(trainer, begun)
        if record is not None:
            weights = interrupted.last_epoch(folder)
            interrupted.count_as_trained(trainer, model, weights, record)
        elif trains:
            trainer.callbacks.append(LoadTestImagesFirst())
            trainer.fit(model, datamodule=data, ckpt_path=begun)
        interrupted.forget_interruption(trainer, folder)
        without_figure = "val" not in model.evaluation and data.has_validation
        if without_figure and (begun is not None or not trains):  # or it was interrupted as training ended
            trainer.validate(model, datamodule=data, verbose=False)
        seconds = 0.0 if not trains else time.perf_counter() - started if begun is None else None
        trainer.test(model, datamodule=data, verbose=False, ckpt_path=weights)
        done.rows[name] = {
            "folder": trainer.log_dir,
            "training_seconds": seconds,
            "epochs": model.epochs_trained,
            "augmentation": data.describe_augmentation() if trains else None,
            "selection": selection_of({callback.state_key: callback.state_dict() for callback in trainer.callbacks}),
            **{split: evaluation["accuracy"] for split, evaluation in model.evaluation.items()},
            "group_sizes": model.evaluation["test"]["group_sizes"],
        }
        done.save()
        return cast(Trainer, trainer)

    def _report(self, done: Progress, data: LTDataModule, seconds: float | None) -> None:
        """Write the results, with rows in the order of the plan, and print the table.

        Args:
            done: All that has finished.
            data: Of all stages.
            seconds: That it took; ``None`` if it was interrupted, for nobody has timed all of them then.
        """
        splits: tuple[Split, ...] = ("train", "val", "test")
        for split in splits:
            data.split(split)  # their hashes are recorded, whatever was left to be trained
        rows = {name: done.rows[name] for name in (STAGE1, *self.methods)}
        record = {
            **provenance(self.device),
            "preset": done.preset,
            **config_and_hash(done.folder / progress.CONFIG),
            "seed": self.plan["seed_everything"],
            "data": data.describe_split(),
            "class_counts": data.class_counts,
            "group_thresholds": list(data.group_thresholds),
            "selection": rows[STAGE1]["selection"],  # of the network of all stages; a row has its own beside it
            "stages": rows,
            "seconds": {} if seconds is None else {"pipeline": seconds},
        }
        done.end(record)
        show_results(record, done.folder)


@rank_zero_only
def show_results(record: Mapping[str, Any], folder: Path) -> None:
    """Print the table of a pipeline that has finished.

    Args:
        record: Its results.
        folder: Where they are.
    """
    title = f"{record['preset']}: test accuracy on one frozen backbone, seed {record['seed']}"
    stages = record["stages"]
    rows = [(name.replace(STAGE1, "stage 1"), row.get("test", {})) for name, row in stages.items()]
    show(accuracy_table(title, rows, stages[STAGE1]["group_sizes"], tuple(record["group_thresholds"])))
    print(f"written to {folder}/{progress.RESULTS}")


def _trains(model: LTModule) -> bool:
    return not isinstance(model, RetrainModule) or model.trains


def _where(name: str) -> str:
    """The key of a stage."""
    return name if name == STAGE1 else f"stage2.{name}"


@contextmanager
def _of_stage(name: str) -> Iterator[None]:
    """Have an error say which stage it is about: many may have an option of the same name."""
    try:
        yield
    except UsageError as error:
        if f"`{_where(name)}." in str(error):  # which says so itself
            raise
        raise UsageError(f"`{_where(name)}`: {error}") from error


@contextmanager
def _advising_before_stage1() -> Iterator[None]:
    """Have an error about stage 1's classifier advise what can be done while there is no file to change or to read."""
    try:
        yield
    except UsageError as error:
        if "allow_partial`" in str(error):  # which can be set in a pipeline too
            raise
        fault = str(error).partition("; ")[0].removesuffix(".")
        raise UsageError(
            f"{fault}; give stage 1 another head, or train it by `lt-lightning fit`, a linear classifier on its "
            f"backbone by `probe`, and stage 2 by `fit --model.checkpoint` with the file that this writes."
        ) from error


def _rehearse(method: str, stage: LTCLI) -> None:
    """Try a head or a loss of one's own on features of the true length, so that a mistake costs no stage 1."""
    with naming(method):
        size = getattr(stage.datamodule, "batch_size", None)  # data of one's own may call it otherwise
        rehearse_module(cast(RetrainModule, stage.model), size, stage.trainer.strategy.root_device)

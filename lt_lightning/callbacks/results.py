"""Writes ``results.json`` and prints the table at the end of a run."""

import json
import time
from collections.abc import Iterable, Mapping
from inspect import getattr_static
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    BaseFinetuning,
    GradientAccumulationScheduler,
    ModelPruning,
    StochasticWeightAveraging,
    WeightAveraging,
)
from lightning.pytorch.utilities import rank_zero_warn

from lt_lightning.callbacks.averaging import WeightEMA
from lt_lightning.callbacks.deferred import DeferredCallback
from lt_lightning.callbacks.selecting import selection_of
from lt_lightning.callbacks.warmup import LinearWarmup
from lt_lightning.checkpoints import RECORD, known_of_images
from lt_lightning.devices.clock import device_time
from lt_lightning.modules import LTModule, RepresentationModule
from lt_lightning.modules.origin import describe_data
from lt_lightning.results import config_and_hash, file_and_hash, provenance, write_json
from lt_lightning.same_run import RUN, TRAINING
from lt_lightning.tables import accuracy_table, show

_OF_TRAINING = ("started_from", "sampler", "batch_size", "augmentation", "training_images_per_second")
"""What a results file says of training alone."""

_IN_WORDS = {"val": "validation", "test": "test"}

SCHEDULES = (
    BaseFinetuning,
    DeferredCallback,
    GradientAccumulationScheduler,
    LinearWarmup,
    ModelPruning,
    StochasticWeightAveraging,
    WeightAveraging,
    WeightEMA,
)
"""Callbacks that change what is learnt; others watch."""


class ResultsWriter(Callback):
    """Leave a ``results.json`` in the run's folder, and a table on the screen.

    The file holds what is needed to trust a figure: versions, command, configuration and its hash, seed, the file that
    weights came from, its hash and how it was trained, as ``stage1`` that of the network that was retrained, head,
    loss, mixing and schedules, augmentation, data and the hash of its split, class counts, epoch, test-time averaging,
    all metrics per group and per class, and time. What other callbacks keep in an attribute ``diagnostics`` is added,
    as :func:`diagnostics_of` says.

    Args:
        preset: Name of the configuration the run started from.
        seed: The run's seed. Of weights that an earlier run has trained the file holds that one's.
        print_table: Whether to print a table after ``validate`` and ``test``, and of the last validation after ``fit``.
        settings: Options of the run, as plain values, which its checkpoints hold for whoever tests them.
    """

    def __init__(
        self,
        preset: str = "",
        seed: int | bool | None = None,
        print_table: bool = True,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.preset = preset
        self.seed = seed
        self.print_table = print_table
        self.settings = settings
        self.seconds: dict[str, float] = {}
        self.written: Path | None = None
        """The file, once it has its name; in other processes than the first always ``None``."""
        self.started_from: dict[str, Any] | None = None
        self._started = self._epoch_started = self._validation_started = 0.0
        self._images = 0
        self._validated_after = 0
        """Steps of training before its last validation."""
        self._epochs: list[tuple[int, float]] = []
        """Images and seconds of each epoch of training, the run's first step left out."""
        self._loaded: str | None = None
        """What chose the weights of the checkpoint that was loaded."""
        self._run: dict[str, Any] = {}
        """Which run of ``fit`` they are of, how it was trained, and of which of its steps."""
        self._earlier: Mapping[str, Any] = {}

    def take_over(self, earlier: Mapping[str, Any]) -> None:
        """Keep in a test's record what the training's says, if the training ran in an earlier process.

        Args:
            earlier: What the run's ``results.json`` holds.
        """
        self._earlier = earlier

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Start the clock."""
        self._started, self._loaded, self._run, self.written = time.perf_counter(), None, {}, None
        if stage == "fit":
            self._epochs = []
            for part in ("first_step", "first_epoch"):
                self.seconds.pop(part, None)

    # Lightning names the checkpoint that is to be restored from here on; the module reads its own after this.

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note which file the weights come from."""
        self._note_start(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note it for a stand-alone validation; halt the clock of training for one within."""
        if trainer.state.fn == "validate":
            self._note_start(trainer, pl_module)
        else:
            self._validation_started = device_time(pl_module.device)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note it for a test of weights that this run has not trained."""
        if "fit" not in self.seconds:
            self._note_start(trainer, pl_module)

    def _note_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            found = file_and_hash(trainer.ckpt_path or getattr(pl_module, "checkpoint", None))
            self.started_from = None if found is None else {**found, **self._run}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Say how the weights were trained: a test of them has options of its own."""
        if trainer.state.fn == "fit":
            checkpoint[TRAINING] = {"preset": self.preset, "seed": self.seed, "settings": self.settings}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Note what chose the weights, and which run has trained them on which images."""
        record = checkpoint.get(RECORD) or {}
        chosen = record.get("selection")  # where it was written without a trainer
        self._loaded = chosen or selection_of(checkpoint.get("callbacks") or {}, str(trainer.ckpt_path))
        self._run = {"trained_on": known_of_images(record.get("split"))}
        if not chosen:  # else the classifier is another one's
            run = {"run": checkpoint[RUN], "step": checkpoint.get("global_step")} if RUN in checkpoint else {}
            self._run |= {**run, **checkpoint.get(TRAINING, {})}

    def selection(self, trainer: Trainer) -> str:
        """Whether the weights are the last epoch's or were chosen on validation images, and by what."""
        if self._loaded is not None and trainer.state.fn != "fit":
            return self._loaded
        return selection_of({found.state_key: found.state_dict() for found in cast(Any, trainer).callbacks})

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of an epoch that a resumed run goes on with."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock of training alone."""
        self._epoch_started, self._images = time.perf_counter(), 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Count images; the first step, in which a network is compiled and memory allocated, has a time of its own."""
        if "first_step" not in self.seconds:
            self.seconds["first_step"] = device_time(pl_module.device) - self._epoch_started
            self._epoch_started = time.perf_counter()
            return
        batch = args[1]
        self._images += len(batch[1]) * trainer.world_size

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Add the epoch; the first one, which compiles a graph for each size of batch, has a time of its own."""
        self._epochs.append((self._images, device_time(pl_module.device) - self._epoch_started))
        if len(self._epochs) == 1:
            self.seconds["first_epoch"] = self.seconds.get("first_step", 0.0) + self._epochs[0][1]

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what training and its last validation gave."""
        self._write(trainer, pl_module, "fit", "val")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write a stand-alone validation's results; have training's clock go on after one within."""
        if trainer.state.fn == "validate":
            self._write(trainer, pl_module, "validate", "val")
        else:
            self._epoch_started += device_time(pl_module.device) - self._validation_started
            self._validated_after = trainer.global_step

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the test's results."""
        self._write(trainer, pl_module, "test", "test")

    def _write(self, trainer: Trainer, pl_module: LightningModule, stage: str, split: str) -> None:
        self.seconds[stage] = time.perf_counter() - self._started
        folder = trainer.log_dir if trainer.loggers else None  # without one Lightning names the current folder
        if (
            not isinstance(pl_module, LTModule)
            or not trainer.is_global_zero
            or folder is None
            or cast(Any, trainer).fast_dev_run
        ):
            return
        path = Path(folder) / "results.json"
        write_json(path, self.record(trainer, pl_module, Path(folder)))
        self.written = path
        if self.print_table and split in pl_module.evaluation:
            evaluation = pl_module.evaluation[split]
            row = [(type(pl_module.head).__name__, evaluation["accuracy"])]
            title = f"{_IN_WORDS[split]} accuracy{self._when(trainer, stage)}"
            show(accuracy_table(title, row, evaluation["group_sizes"], pl_module.group_thresholds))
            print(f"written to {path}")

    def _when(self, trainer: Trainer, stage: str) -> str:
        """Of a training, when its figures were taken: a run may have trained on after its last validation."""
        if stage != "fit":
            return ""
        return ", last epoch" if trainer.global_step == self._validated_after else ", last validation"

    def record(self, trainer: Trainer, module: LTModule, folder: Path) -> dict[str, Any]:
        """Everything ``results.json`` says of a run."""
        data = getattr(trainer, "datamodule", None)
        fitted = "fit" in self.seconds
        sampler = getattr(data, "train_sampler", None) if fitted else None  # a data module of one's own may have none
        describe = getattr(data, "describe_augmentation", None)
        callbacks = cast(Any, trainer).callbacks
        images, seconds = (sum(part) for part in zip((0, 0.0), *(self._epochs[1:] or self._epochs), strict=True))
        made = provenance(trainer.strategy.root_device)
        made["environment"]["precision"] = str(trainer.precision)
        record = {
            **made,
            "preset": self.preset,
            **config_and_hash(folder / "config.yaml"),
            "seed": self.seed if fitted else (self.started_from or {}).get("seed", self.seed),
            "model": type(module).__name__,
            "checkpoint": getattr(module, "checkpoint", None),
            "started_from": self.started_from,
            "stage1": getattr(module, "stage1", None),
            "bn_mode": getattr(module, "bn_mode", None),
            "backbone": type(module.backbone).__name__,
            "head": type(module.head).__name__,
            "loss": type(module.loss).__name__,
            "channels_last": module.channels_last,
            "compile": module.compile_backbone,
            "tf32": module.tf32,
            "mixing": type(module.mixing).__name__ if isinstance(module, RepresentationModule) else None,
            "schedules": [type(found).__name__ for found in callbacks if isinstance(found, SCHEDULES)],
            "data": data.describe_split() if data is not None and hasattr(data, "describe_split") else {},
            "transform": describe_data(data).get("transform"),
            "sampler": None if sampler is None else type(sampler).__name__,
            "batch_size": getattr(data, "batch_size", None) if fitted else None,  # which a callback may have found
            "augmentation": describe() if fitted and describe is not None else None,
            "class_counts": module.class_counts,
            "class_names": getattr(data, "class_names", None),
            "group_thresholds": list(module.group_thresholds),
            "selection": self.selection(trainer),
            "epochs": module.epochs_trained,
            "steps": trainer.global_step,
            "evaluation": module.evaluation,
            "diagnostics": {**self._earlier.get("diagnostics", {}), **diagnostics_of(callbacks)},
            "seconds": {**self._earlier.get("seconds", {}), **self.seconds},
            # Of all epochs but the first; where there is no other, of its steps but the first.
            "training_images_per_second": images / seconds if seconds else None,
        }
        return {**record, **{key: self._earlier[key] for key in _OF_TRAINING if key in self._earlier}}


def diagnostics_of(callbacks: Iterable[Callback]) -> dict[str, Any]:
    """What callbacks keep in an attribute ``diagnostics``, as plain values; a later one's come over an earlier one's.

    Args:
        callbacks: Each with a dictionary of plain values, tensors or NumPy arrays in ``diagnostics``, or without one.
            One whose diagnostics cannot be written is left out with a warning: the run has been trained.
    """
    found: dict[str, Any] = {}
    for callback in callbacks:
        found |= _diagnostics_of(callback)
    return found


def _diagnostics_of(callback: Any) -> dict[str, Any]:
    if getattr_static(callback, "diagnostics", None) is None:
        return {}
    try:
        return dict(json.loads(json.dumps(callback.diagnostics, default=lambda value: value.tolist())))
    except Exception as error:  # of a property: whatever its code raises
        rank_zero_warn(
            f"`diagnostics` of the callback {type(callback).__name__} cannot be kept, so `results.json` is without them"
            f" ({type(error).__name__}: {error}): give a dictionary of numbers, text, lists or dictionaries of these, "
            f"tensors or arrays."
        )
        return {}

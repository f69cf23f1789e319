"""The one LightningModule body that both stages share."""

import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer

from lt_lightning.backbones import Backbone
from lt_lightning.checkpoints import RECORD
from lt_lightning.errors import UsageError
from lt_lightning.heads import Head
from lt_lightning.losses import Loss
from lt_lightning.metrics import CalibrationError, GroupAccuracy, LogitsStatistics, weight_norms
from lt_lightning.mixing import Mixed
from lt_lightning.modules.combinations import check_head_and_loss, check_head_from_features, check_sampler
from lt_lightning.schedules import CosineLR

HeadFactory = Callable[[int, list[int]], Head]
LossFactory = Callable[[list[int]], Loss]
Batch = tuple[Tensor, Tensor]
EvalSplit = Literal["val", "test"]


class LTModule(LightningModule):
    """Backbone, head and loss, one step, and the metrics of long-tailed recognition.

    Args:
        class_counts: Training images per class; the command line links them from the data.
        backbone: Feature extractor.
        head: Makes the classifier from ``(num_features, class_counts)``.
        loss: Makes the loss from ``(class_counts,)``.
        optimizer: Makes the optimiser from the parameters that train.
        lr_scheduler: Makes the learning-rate schedule from the optimiser; stepped once per epoch.
        group_thresholds: ``(low, high)`` training images that separate few, medium and many; linked from the data.
        channels_last: Whether convolutions run in the channels-last memory format (faster in bf16).
        compile: Whether the backbone is compiled; costs some 20–50 s at the first step on a CPU.
        flip_average: Whether test logits are the mean over an image and its mirror image; recorded with the results.
        allow_double_balancing: Whether loss, head and sampler may correct for imbalance more than once.
        allow_changed_data: Whether a checkpoint may have been trained on other class counts or another split.

    Raises:
        UsageError: If head and loss do not go together.
    """

    makes_heads_from_features: bool = False
    """Whether heads that need the features of the training images get them before a run."""

    accuracy: nn.ModuleDict
    logits_statistics: nn.ModuleDict
    calibration: nn.ModuleDict
    evaluation: dict[str, dict[str, Any]]
    """Results of the last evaluation of each split, plain values, the same in every process."""

    epochs_trained: int
    """Epochs that the weights have been trained for, also after they were loaded from a checkpoint."""

    temperature: float = 1.0
    """Divides the logits before ``predict`` takes probabilities; a callback sets it."""

    input_shape: tuple[int, ...] | None = None
    """Channels, height and width of the images last seen."""

    def __init__(
        self,
        class_counts: list[int],
        backbone: Backbone,
        head: HeadFactory,
        loss: LossFactory,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable,
        group_thresholds: tuple[int, int],
        channels_last: bool,
        compile: bool,
        flip_average: bool,
        allow_double_balancing: bool,
        allow_changed_data: bool,
    ) -> None:
        super().__init__()
        self.class_counts = list(class_counts)
        self.group_thresholds = (group_thresholds[0], group_thresholds[1])
        self.backbone = backbone
        self.head = head(backbone.num_features, self.class_counts)
        self.loss = loss(self.class_counts)
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.channels_last = channels_last
        self.compile_backbone = compile
        self.flip_average = flip_average
        self.allow_double_balancing = allow_double_balancing
        self.allow_changed_data = allow_changed_data
        check_head_and_loss(self.head, self.loss, allow_double_balancing)
        if not self.makes_heads_from_features:
            check_head_from_features(self.head, type(self).__name__)
        self.start_bias()
        self._stand_in: tuple[Loss, ...] = ()

        self.evaluation = {}
        self.epochs_trained = 0
        self.accuracy = nn.ModuleDict(
            {f"{split}_metric": GroupAccuracy(self.class_counts, self.group_thresholds) for split in ("val", "test")}
        )
        self.logits_statistics = nn.ModuleDict(
            {f"{split}_metric": LogitsStatistics(self.class_counts, self.group_thresholds) for split in ("val", "test")}
        )
        self.calibration = nn.ModuleDict(
            {f"{split}_metric": CalibrationError(self.class_counts, self.group_thresholds) for split in ("val", "test")}
        )
        # Accumulated on the device; read once every `log_every_n_steps`, so that no step waits for the host. No buffer:
        # those take on the module's precision, and DDP overwrites them with the first process's.
        self._loss_sum: Tensor | float = 0.0
        self._loss_steps = 0
        self._lr: Tensor | float = 0.0

    def start_bias(self) -> None:
        """Set the classifier's bias to what the loss asks for, if it does."""
        if self.loss.initial_bias is not None:
            with torch.no_grad():
                cast(nn.Parameter, self.head.bias).fill_(self.loss.initial_bias)

    @property
    def training_loss(self) -> Loss:
        """The loss in force while training: :attr:`loss`, unless a schedule has another stand in for it."""
        return self._stand_in[0] if self._stand_in else self.loss

    def train_with(self, stand_in: Loss | None) -> None:
        """Have another loss stand in for :attr:`loss` while training; ``None`` ends that.

        Evaluation and prediction keep to :attr:`loss`. It becomes no part of the module: whoever brings it also moves
        it to the module's device.
        """
        self._stand_in = () if stand_in is None else (stand_in,)

    # -- the step ----------------------------------------------------------------------------------------------------

    def features(self, images: Tensor) -> Tensor:
        """Features of images, ``(N, C, H, W)`` to ``(N, D)``."""
        if images.ndim == 4:  # features in the place of images are kept out of the record
            self.input_shape = tuple(images.shape[1:])
        images = images.to(cast(torch.dtype, self.dtype))  # a trainer of precision "bf16-true" or "64-true" sets it
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return cast(Tensor, self.backbone(images))

    def forward(self, images: Tensor) -> Tensor:
        """Logits as used at test time, ``(N, C, H, W)`` to ``(N, K)``."""
        return self._outside_autocast(self.head.predict, self.features(images))

    def mix(self, batch: Batch, batch_idx: int) -> Mixed:  # noqa: ARG002
        """Training images as the backbone is to see them, and the classes they show: as they are, unless overridden."""
        return Mixed(*batch)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch."""
        mixed = self.mix(batch, batch_idx)
        features = self.features(mixed.images)
        logits = self._outside_autocast(self.head, features)
        loss = mixed.loss(self.training_loss, logits, features)
        self._log_loss(loss.detach())
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Count one batch of validation images."""
        self._count("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Count one batch of test images."""
        self._count("test", batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:  # noqa: ARG002
        """Probabilities ``(N, K)`` and targets ``(N,)`` of one batch."""
        images, targets = batch
        return {"probabilities": self.loss.probabilities(self(images) / self.temperature), "targets": targets}

    def _count(self, split: EvalSplit, batch: Batch) -> None:
        images, targets = batch
        logits = self(images)
        if split == "test" and self.flip_average:
            logits = (logits + self(images.flip(-1))) / 2
        accuracy, statistics, calibration = self._metrics(split)
        accuracy.update(logits, targets)
        statistics.update(logits, targets)
        calibration.update(self.loss.probabilities(logits), targets)

    def _metrics(self, split: EvalSplit) -> tuple[GroupAccuracy, LogitsStatistics, CalibrationError]:
        kinds = (self.accuracy, self.logits_statistics, self.calibration)
        return cast(
            tuple[GroupAccuracy, LogitsStatistics, CalibrationError], tuple(kind[f"{split}_metric"] for kind in kinds)
        )

    def _outside_autocast(self, head: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
        # Also a user's own head keeps fp32 logits: it is next to free, and tail classes need the digits.
        with torch.autocast(features.device.type, enabled=False):
            return head(features.float() if features.dtype in (torch.float16, torch.bfloat16) else features)

    # -- logging -----------------------------------------------------------------------------------------------------

    def _log_loss(self, loss: Tensor) -> None:
        self._loss_sum = self._loss_sum + loss.float()
        self._loss_steps += 1
        interval = cast(Any, self.trainer).log_every_n_steps
        if interval and (self.trainer.global_step + 1) % interval == 0:
            self.log("train/loss", self._mean_loss(), prog_bar=True, sync_dist=True)

    def _mean_loss(self) -> Tensor | float:
        mean = self._loss_sum / self._loss_steps
        self._loss_sum, self._loss_steps = 0.0, 0
        return mean

    def _note_learning_rate(self, optimizer: Optimizer, *_: Any) -> None:
        self._lr = optimizer.param_groups[0]["lr"]

    def on_train_epoch_end(self) -> None:
        """Log what is left of the epoch's loss, and the learning rate of its last step."""
        if self._loss_steps:
            self.log("train/loss_epoch_end", self._mean_loss(), sync_dist=True)
        self.log("train/lr", float(self._lr))
        self.epochs_trained = self.current_epoch + 1

    def on_validation_epoch_end(self) -> None:
        """Close the validation metrics."""
        self._close("val")

    def on_test_epoch_end(self) -> None:
        """Close the test metrics."""
        self._close("test")

    def _close(self, split: EvalSplit) -> None:
        accuracy, statistics, calibration = self._metrics(split)
        if not self.trainer.sanity_checking:
            summary = accuracy.compute()
            errors = calibration.compute()
            self.log_dict({f"{split}/{name}": value for name, value in summary.items()})
            self.log(f"{split}/ece", errors["all"])
            correct, total = accuracy.counts()
            per_class = {"correct": correct, "total": total, "accuracy": accuracy.per_class(), **statistics.compute()}
            with suppress(UsageError):  # a head need not have a weight vector per class
                per_class["weight_norm"] = weight_norms(self.head)
            self.evaluation[split] = {
                "epoch": self.current_epoch + 1 if self.trainer.state.fn == "fit" else self.epochs_trained,
                "accuracy": {name: value.item() for name, value in summary.items()},
                "calibration": {
                    "ece": {name: value.item() for name, value in errors.items()},
                    "bins": {name: values.tolist() for name, values in calibration.reliability().items()},
                },
                "group_sizes": accuracy.group_sizes,
                "classes_without_images": int((total == 0).sum()),
                "test_time_averaging": "flip" if split == "test" and self.flip_average else "none",
                "per_class": {name: values.tolist() for name, values in per_class.items()},
                "logits": {
                    name: {group: value.item() for group, value in statistics.by_group(per_class[name]).items()}
                    for name in ("logits_magnitude", "regularized_std")
                },
            }
        for metric in self._metrics(split):
            metric.reset()

    # -- optimisation ------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimise what requires gradients, nothing else."""
        optimizer = self.optimizer(parameter for parameter in self.parameters() if parameter.requires_grad)
        scheduler = self.lr_scheduler(optimizer)
        if isinstance(scheduler, CosineLR):
            scheduler.set_epochs(_max_epochs(self))
        # The schedule moves on before an epoch ends, and warm-up scales within a step: only a step knows its rate.
        optimizer.register_step_post_hook(self._note_learning_rate)
        return [optimizer], [scheduler]

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Step, then let the head project its parameters: each time, or once an epoch, before validation."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.head.project_every == "step" or self.trainer.is_last_batch:
            self.head.project_()

    def setup(self, stage: str) -> None:
        """Check what only the trainer knows, before anything trains."""
        if self.channels_last:
            self.backbone.to(memory_format=torch.channels_last)
        if stage == "fit":
            self.check(getattr(self.trainer, "datamodule", None))
            if self.compile_backbone:
                self.backbone.compile()

    def check(self, data: object) -> None:
        """Find what cannot be trained before anything is; a pipeline asks this of all stages first.

        Args:
            data: The data module, or anything with a ``rebalances`` flag.

        Raises:
            UsageError: If the sampler and the loss or head would balance twice.
        """
        check_sampler(data, self.head, self.loss, self.allow_double_balancing)

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def remember_arguments(self) -> None:
        """Keep the constructor's plain arguments as hyper-parameters; the constructors of both stages call this.

        Made by the command line, all of them are plain. Parts made in Python are not, and would keep a checkpoint from
        loading with ``weights_only=True``: whoever loads it has to make them again.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that some arguments are modules
            self.save_hyperparameters()
        self.save_hyperparameters(ignore=[key for key, value in self.hparams.items() if not _is_plain(value)])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Record what was trained, and on what."""
        checkpoint[RECORD] = {
            "class_counts": self.class_counts,
            "split": self._split_record(),
            "epochs": self.epochs_trained,
            "input_shape": None if self.input_shape is None else list(self.input_shape),
            **self._data_record(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of other data."""
        record = checkpoint.get(RECORD, {})
        self.check_record(record, "The checkpoint")
        self.epochs_trained = record.get("epochs", 0)

    def check_record(self, record: dict[str, Any], what: str) -> None:
        """Compare a checkpoint's record of its training data with the data at hand.

        Args:
            record: ``class_counts`` and ``split`` as :meth:`on_save_checkpoint` stores them; may be empty.
            what: Names the checkpoint at the start of the error.

        Raises:
            UsageError: If they differ and ``allow_changed_data`` is false.
        """
        if self.allow_changed_data:
            return
        counts = record.get("class_counts")
        if counts is not None and list(counts) != self.class_counts:
            raise UsageError(
                f"{what} was trained on {sum(counts)} images in {len(counts)} classes ({_ends(counts)}), but the data "
                f"have {sum(self.class_counts)} in {len(self.class_counts)} ({_ends(self.class_counts)}); give the "
                f"same `data`, or set `model.allow_changed_data` to true."
            )
        splits = (record.get("split", {}), self._split_record())
        theirs, ours = (split.get("hashes", {}).get("train") for split in splits)
        if theirs and ours and theirs != ours:
            raise UsageError(
                f"{what} was trained on other images than these data select (split hash {theirs[:12]}…, here "
                f"{ours[:12]}…), so validation images may have been seen; give the same `data`, or set "
                f"`model.allow_changed_data` to true."
            )

    def _data_record(self) -> dict[str, Any]:
        """What whoever uses the weights has to know of the data: names of the classes, pre-processing."""
        data = getattr(self._trainer, "datamodule", None)
        names, describe = getattr(data, "class_names", None), getattr(data, "describe_transform", None)
        record = {"class_names": names and list(map(str, names)), "transform": describe(False) if describe else None}
        return {key: value for key, value in record.items() if value and _is_plain(value)}

    def _split_record(self) -> dict[str, Any]:
        # Data and modules know each other by duck type alone; any LightningDataModule may stand here.
        describe = getattr(getattr(self._trainer, "datamodule", None), "describe_split", None)
        return cast(dict[str, Any], describe()) if describe else {}


def _max_epochs(module: LightningModule) -> int:
    epochs = module.trainer.max_epochs
    if epochs is None or epochs < 1:
        raise UsageError("`CosineLR` needs to know where training ends: set `trainer.max_epochs`, or its `epochs`.")
    return epochs


def _ends(counts: list[int]) -> str:
    return f"{max(counts)} to {min(counts)} a class"


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(key) and _is_plain(entry) for key, entry in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)

"""The one LightningModule body that both stages share."""

import warnings
from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer

from lt_lightning.backbones import Backbone
from lt_lightning.backbones.base import features_of, in_type_of_weights
from lt_lightning.checkpoints import RECORD, Entry
from lt_lightning.devices.tf32 import Setting, allow_tf32, put_back
from lt_lightning.errors import check_word, checked_counts
from lt_lightning.functional.checks import images_and_targets
from lt_lightning.functional.flip_averaging import flip_averaged
from lt_lightning.functional.precision import at_least_fp32, outside_autocast
from lt_lightning.heads import Head
from lt_lightning.losses import Loss
from lt_lightning.mixing import Mixed
from lt_lightning.modules.combinations import (
    check_averages,
    check_head_and_loss,
    check_head_from_features,
    check_sampler,
)
from lt_lightning.modules.contract import check_features, length_of_features, make_parts
from lt_lightning.modules.divergence import check_finite, check_logits
from lt_lightning.modules.evaluation import Evaluation
from lt_lightning.modules.finetuning import TRAINS, check_finetuning, train_again, what_trains
from lt_lightning.modules.loop_state import (
    batches_per_step,
    begin_epoch,
    check_rest_of_epoch,
    epochs_so_far,
    mark_unfinished_epoch,
    run_ends,
    time_is_up,
    why_nothing_trained,
)
from lt_lightning.modules.loss_sum import LossOfEpoch
from lt_lightning.modules.optimisation import check_length, for_trainer, make_optimisation
from lt_lightning.modules.origin import check_origin, check_transform, describe_split, is_plain, record_of
from lt_lightning.modules.past import loaded_past, past_when_made
from lt_lightning.modules.run_options import check_going_on, check_monitors, check_options
from lt_lightning.modules.speed import Compilation, check_accumulation, compile_, in_memory_format
from lt_lightning.modules.starting import start_bias
from lt_lightning.modules.step_draws import StepDraws
from lt_lightning.schedules import leave_functions_out, set_restored_rates

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
        compile: How ``torch.compile`` compiles the backbone, "none" for not at all; costs some 20–50 s at the first
            step on a CPU. "reduce-overhead" uses CUDA graphs.
        tf32: Whether fp32 products on a GPU may be of TF32 numbers, which is several times as fast.
        flip_average: Whether logits in ``test`` and ``predict`` are the mean over an image and its mirror image;
            recorded with the results.
        allow_double_balancing: Whether loss, head and sampler may correct for imbalance more than once.
        allow_changed_data: Whether a checkpoint may have been trained on other class counts or another split.

    Raises:
        UsageError: If head and loss do not go together, or a part does not keep its side of the contract.
    """

    makes_heads_from_features: bool = False
    """Whether heads that need the features of the training images get them before a run."""

    metrics: nn.ModuleDict
    evaluation: dict[str, dict[str, Any]]
    """Results of the last evaluation of each split, plain values, the same in every process."""

    epochs_trained: int
    """Epochs that the weights have been trained for, also after they were loaded from a checkpoint."""

    past: list[Entry]
    """What the weights had been trained on before this training, the latest first; see ``checkpoints.Entry``."""

    temperature: float = 1.0
    """Divides the logits before ``predict`` takes probabilities; a callback sets it."""

    input_shape: tuple[int, ...] | None = None
    """Channels, height and width of the images last seen; the shape of one input where it is no image."""

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
        compile: Compilation,
        tf32: bool,
        flip_average: bool,
        allow_double_balancing: bool,
        allow_changed_data: bool,
    ) -> None:
        super().__init__()
        self.class_counts = checked_counts(class_counts)
        self.group_thresholds = (group_thresholds[0], group_thresholds[1])
        self.backbone = backbone
        self.head, self.loss = make_parts(length_of_features(backbone), self.class_counts, head, loss)
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.channels_last = channels_last
        self.compile_backbone: Compilation = compile
        self.tf32 = tf32
        self.flip_average = flip_average
        self.allow_double_balancing = allow_double_balancing
        self.allow_changed_data = allow_changed_data
        check_word("model.compile", compile, Compilation)
        check_head_and_loss(self.head, self.loss, allow_double_balancing)
        if not self.makes_heads_from_features:
            check_head_from_features(self.head, type(self).__name__)
        start_bias(self.head, self.loss)
        self._stand_in: tuple[Loss, ...] = ()
        self._tf32_before: Setting | None = None
        self.evaluation = {}
        self.epochs_trained = 0
        self.past = past_when_made(backbone)
        made = {f"{split}_metric": Evaluation(self.class_counts, self.group_thresholds) for split in ("val", "test")}
        self.metrics = nn.ModuleDict(made)
        self._loss_of_epoch = LossOfEpoch()
        self._draws = StepDraws()
        self._lr: Tensor | float | None = None
        self._trained = False
        self._unfrozen: list[str] = []
        self._max_epochs: int | None = None
        """Of the trainer, before Lightning's weight averaging adds a pass that collects statistics."""

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
        # A trainer of precision "bf16-true" or "64-true" sets the type.
        images = in_memory_format(in_type_of_weights(images, cast(torch.dtype, self.dtype)), self.channels_last)
        self.input_shape = tuple(images.shape[1:])
        return check_features(features_of(self.backbone, images), self.backbone)

    def forward(self, images: Tensor) -> Tensor:
        """Logits as used at test time, ``(N, C, H, W)`` to ``(N, K)``."""
        return self._outside_autocast(self.head.predict, self.features(images))

    def mix(self, batch: Batch, batch_idx: int) -> Mixed:  # noqa: ARG002
        """Training images as the backbone is to see them, and the classes they show: as they are, unless overridden."""
        return Mixed(*images_and_targets(batch, self._data()))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch; in a run with a seed dropout draws by epoch, batch and process, also after a resume."""
        with self._draws.of(self, batch_idx):
            mixed = self.mix(batch, batch_idx)
            features = self.features(mixed.images)
            logits = self._outside_autocast(self.head, features)
            loss = mixed.loss(self.training_loss, logits, features)
        self._loss_of_epoch.add(loss, self, batch_idx)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Count one batch of validation images."""
        self._count("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Count one batch of test images."""
        self._count("test", batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:  # noqa: ARG002
        """Logits as ``test`` has them, probabilities at :attr:`temperature`, both ``(N, K)``, and targets ``(N,)``."""
        images, targets = images_and_targets(batch, self._data(), learns=False)
        logits = self.averaged(images)
        probabilities = self.loss.probabilities(logits / self.temperature)
        return {"logits": logits, "probabilities": probabilities, "targets": targets}

    def averaged(self, images: Tensor) -> Tensor:
        """Logits that ``test`` and ``predict`` go by: with ``flip_average`` the mean over image and mirror image."""
        return flip_averaged(self, images) if self.flip_average else cast(Tensor, self(images))

    def _count(self, split: EvalSplit, batch: Batch) -> None:
        images, targets = images_and_targets(batch, self._data())
        logits = self.averaged(images) if split == "test" else self(images)
        self._metrics(split).update(logits, self.loss.probabilities(logits), targets)

    def _metrics(self, split: EvalSplit) -> Evaluation:
        return cast(Evaluation, self.metrics[f"{split}_metric"])

    def _outside_autocast(self, head: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
        # Also a user's own head keeps fp32 logits: it is next to free, and tail classes need the digits.
        with outside_autocast(features):
            return head(at_least_fp32(features))

    # -- logging -----------------------------------------------------------------------------------------------------

    def _note_learning_rate(self, optimizer: Optimizer, *_: Any) -> None:
        self._lr = optimizer.param_groups[0]["lr"]

    def on_train_epoch_end(self) -> None:
        """Log the epoch's loss, and the learning rate of its last step."""
        self._loss_of_epoch.log(self)
        if self._lr is not None:  # no step has been taken where an epoch is left at once
            self.log("train/lr", float(self._lr))
        if self.trainer.is_last_batch:  # else something has stopped the run inside the epoch
            self.epochs_trained = epochs_so_far(self.trainer, self._max_epochs)
        check_finite(self)

    def on_validation_epoch_end(self) -> None:
        """Close the validation metrics."""
        self._close("val")

    def on_test_epoch_end(self) -> None:
        """Close the test metrics."""
        self._close("test")

    def _close(self, split: EvalSplit) -> None:
        metrics = self._metrics(split)
        if not self.trainer.sanity_checking:
            epochs = self.epochs_trained
            if self.trainer.state.fn == "fit":
                check_logits(self, metrics.nan_or_inf)
                epochs = epochs_so_far(self.trainer, self._max_epochs)
            self.log_dict({f"{split}/{name}": value for name, value in metrics.scalars().items()})
            self.evaluation[split] = {
                "epoch": epochs,
                "test_time_averaging": "flip" if split == "test" and self.flip_average else "none",
                **metrics.record(self.head),
            }
        metrics.reset()

    # -- optimisation ------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimise what requires gradients, nothing else."""
        optimizer, scheduler = make_optimisation(self, self.optimizer, self.lr_scheduler)
        # The schedule moves on before an epoch ends, and warm-up scales within a step: only a step knows its rate.
        optimizer.register_step_post_hook(self._note_learning_rate)
        return for_trainer(optimizer, scheduler, self.trainer)

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """Step, then let the head project its parameters: each time, or once an epoch, before validation."""
        super().optimizer_step(*arguments, **options)
        if self.head.project_every == "step" or self.trainer.is_last_batch:
            self.head.project_()

    def setup(self, stage: str) -> None:
        """Check what only the trainer knows, before anything trains."""
        if self.channels_last:
            self.backbone.to(memory_format=torch.channels_last)
        put_back(self._tf32_before)  # of a run that was cut short
        self._tf32_before = allow_tf32(self.tf32, self.trainer.strategy.root_device)
        if stage == "fit":
            self._trained, self._unfrozen = False, []
            self._max_epochs = self.trainer.max_epochs
            check_accumulation(self.backbone, self.compile_backbone, self.trainer)
            self.check(self._data(), self.trainer)
            compile_(self.backbone, self.compile_backbone)

    def teardown(self, stage: str) -> None:  # noqa: ARG002
        """Leave the process with the products that it had."""
        put_back(self._tf32_before)
        self._tf32_before = None

    def on_train_start(self) -> None:
        """Note that there is something to train; a resumed run trains what its checkpoint did, by its schedule."""
        self._trained = True
        self._loss_of_epoch.begin_run()
        train_again(self, self.trainer, self._unfrozen)
        # Lightning's callback sets it as an epoch begins, which one that is gone on with does not.
        self.trainer.accumulate_grad_batches = batches_per_step(self.trainer, self.current_epoch)
        check_rest_of_epoch(self.trainer)
        for config in self.trainer.lr_scheduler_configs:
            if config.interval == "epoch":  # else a module of one's own steps it, and knows how often
                check_length(config.scheduler, self.trainer, self._max_epochs)
            set_restored_rates(config.scheduler)
        begin_epoch(self.trainer, self)

    def on_train_batch_end(self, *_: Any) -> None:
        """Project also where a run ends within an epoch, before it is validated or saved."""
        if self.head.project_every == "epoch" and not self.trainer.is_last_batch and run_ends(self.trainer):
            self.head.project_()

    def on_fit_end(self) -> None:
        """Say so if a resumed run was over already, or if time was up before training was over."""
        if not self._trained:
            if (reason := why_nothing_trained(self.trainer)) is not None:
                rank_zero_warn(reason)
        elif time_is_up(self.trainer) and self.epochs_trained != self._max_epochs:
            rank_zero_warn(
                f"`trainer.max_time` was up after {self.trainer.global_step} steps, {self.epochs_trained} whole epochs "
                f"of training, which has ended there; give it more to go on from the last checkpoint."
            )

    def check(self, data: object, trainer: Trainer | None = None) -> None:
        """Find what cannot be trained before anything is; a pipeline asks this of all stages first.

        Args:
            data: The data module, or anything with a ``rebalances`` flag.
            trainer: That is to train, if it is known.

        Raises:
            UsageError: If sampler and loss or head balance twice, optimiser or schedule refuse their values, or the
                trainer has options to train nothing, goes by a figure that there will not be, or has a callback that
                unfreezes a network, or averages its weights, where that would not work.
        """
        check_sampler(getattr(data, "rebalances", False), self.head, self.loss, self.allow_double_balancing)
        if not any(parameter.requires_grad for parameter in self.parameters()):
            return
        if trainer is not None:
            check_options(trainer)
            check_averages(self.head, cast(Any, trainer).callbacks)
        _, scheduler = make_optimisation(self, self.optimizer, self.lr_scheduler, trainer)
        if trainer is not None:
            check_finetuning(trainer, scheduler)
            check_monitors(self, trainer, scheduler, self._metrics("val").figures(), data)

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def remember_arguments(self) -> None:
        """Keep the constructor's plain arguments as hyper-parameters; the constructors of both stages call this.

        Made by the command line, all of them are plain. Parts made in Python are not, and would keep a checkpoint from
        loading with ``weights_only=True``: whoever loads it has to make them again.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that some arguments are modules
            self.save_hyperparameters()
        self.save_hyperparameters(ignore=[key for key, value in self.hparams.items() if not is_plain(value)])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Record what was trained, and on what."""
        mark_unfinished_epoch(checkpoint)
        leave_functions_out(checkpoint)
        self._loss_of_epoch.save(checkpoint)
        checkpoint[RECORD] = record_of(self, self._data())
        if trains := what_trains(self, self._trainer):
            checkpoint[RECORD][TRAINS] = trains

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of other data."""
        if self._trainer is not None:
            check_going_on(self.trainer, checkpoint)
            if self.trainer.precision == "64-true":
                self.double()  # Lightning would do so after the weights have been restored, which rounds them
        record = checkpoint.get(RECORD, {})
        self.check_record(record, "The checkpoint")
        check_transform(record.get("transform", {}), self._data(), "the checkpoint's")
        self.epochs_trained = record.get("epochs", 0)
        self._loss_of_epoch.load(checkpoint)
        self.past = loaded_past(checkpoint)
        self._unfrozen = record.get(TRAINS, [])

    def check_record(self, record: dict[str, Any], what: str) -> None:
        """Compare a checkpoint's record of its training data with the data at hand.

        Args:
            record: ``class_counts`` and ``split`` as :meth:`on_save_checkpoint` stores them; may be empty.
            what: Names the checkpoint at the start of the error.

        Raises:
            UsageError: If they differ and ``allow_changed_data`` is false.
        """
        if not self.allow_changed_data:
            check_origin(record, self.class_counts, describe_split(self._data()), what)

    def _data(self) -> object:
        return getattr(self._trainer, "datamodule", None)

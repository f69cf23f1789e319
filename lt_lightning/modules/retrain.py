"""Stage 2: retraining the classifier on a frozen backbone."""

from pathlib import Path
from typing import Any, Literal, cast

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import BaseFinetuning, StochasticWeightAveraging
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from lt_lightning import checkpoints
from lt_lightning.backbones import Backbone
from lt_lightning.checkpoints import RECORD
from lt_lightning.checkpoints.class_order import class_order, unused_names
from lt_lightning.checkpoints.leftovers import unexpected
from lt_lightning.errors import UsageError, check_word
from lt_lightning.heads import LinearHead
from lt_lightning.losses import CrossEntropyLoss
from lt_lightning.modules.base import HeadFactory, LossFactory, LTModule
from lt_lightning.modules.mismatch import mismatch_error
from lt_lightning.modules.origin import check_transform
from lt_lightning.modules.past import past_left
from lt_lightning.modules.speed import Compilation
from lt_lightning.modules.starting import check_kept, check_start, start_head
from lt_lightning.modules.training_features import training_features
from lt_lightning.processes import is_first
from lt_lightning.results import file_and_hash
from lt_lightning.schedules import CosineLR

NormMode = Literal["eval", "train"]
"""Whether batch normalisation uses the statistics that it has kept, or those of the batch."""

_UNSTARTED = "awaits_checkpoint"
"""Key of a record: the weights are those that the module was made with, not yet the ones it is to start from."""


class RetrainModule(LTModule):
    """Stage 2: retrain the classifier of any checkpoint on its frozen backbone.

    The checkpoint is read when a run starts, not here, so a stage-2 checkpoint loads after the stage-1 file has moved.

    Args:
        class_counts: Training images per class; the command line links them from the data.
        checkpoint: File that stage 2 starts from: one of stage 1, or a plain PyTorch one.
        backbone: Feature extractor that the checkpoint holds the weights of.
        head: Makes the classifier from ``(num_features, class_counts)``.
        loss: Makes the loss from ``(class_counts,)``.
        optimizer: Makes the optimiser from the parameters that train; LORT's stage 2 by default.
        lr_scheduler: Makes the learning-rate schedule from the optimiser; stepped once per epoch.
        bn_mode: ``eval`` keeps the backbone's batch-normalisation statistics. ``train`` moves them towards those of the
            batches that stage 2 shows, and normalises by the batch, as published stage-2 code does (MiSLAS's
            ``shift_bn`` included). The backbone's weights stay frozen in both; where a head trains nothing, no batch is
            shown and both are the same.
        group_thresholds: ``(low, high)`` training images that separate few, medium and many; linked from the data.
        channels_last: Whether convolutions run in the channels-last memory format.
        compile: How ``torch.compile`` compiles the backbone, "none" for not at all; "reduce-overhead" uses CUDA graphs.
        tf32: Whether fp32 products on a GPU may be of TF32 numbers.
        flip_average: Whether logits in ``test`` and ``predict`` are the mean over an image and its mirror image.
        allow_double_balancing: Whether loss, head and sampler may correct for imbalance more than once.
        allow_changed_data: Whether the checkpoint may have been trained on other class counts or another split.
        allow_partial: Whether the checkpoint may fill a part of the backbone only; what it lacks stays as it was made.
            Layers that it has beside are left aside then, though its classifier may stand behind them.
        checkpoint_class_names: Names of the checkpoint's classes in the order of its classifier's rows, where the file
            does not say them under ``class_names`` or, being the data's names, ``class_to_idx`` or ``classes``. Rows
            are put in the data's order.

    Raises:
        UsageError: If head and loss do not go together, a part does not keep its side of the contract, or ``bn_mode``
            is unknown; when a run starts, if the checkpoint does not fit backbone and data.
    """

    makes_heads_from_features = True

    def __init__(
        self,
        class_counts: list[int],
        checkpoint: str,
        backbone: Backbone,
        head: HeadFactory = LinearHead,
        loss: LossFactory = CrossEntropyLoss,
        optimizer: OptimizerCallable = lambda p: torch.optim.SGD(p, lr=5e-4, momentum=0.9),
        lr_scheduler: LRSchedulerCallable = lambda o: CosineLR(o),
        bn_mode: NormMode = "eval",
        group_thresholds: tuple[int, int] = (20, 100),
        channels_last: bool = False,
        compile: Compilation = "none",
        tf32: bool = True,
        flip_average: bool = False,
        allow_double_balancing: bool = False,
        allow_changed_data: bool = False,
        allow_partial: bool = False,
        checkpoint_class_names: list[str] | None = None,
    ) -> None:
        super().__init__(
            class_counts,
            backbone,
            head=head,
            loss=loss,
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
            group_thresholds=group_thresholds,
            channels_last=channels_last,
            compile=compile,
            tf32=tf32,
            flip_average=flip_average,
            allow_double_balancing=allow_double_balancing,
            allow_changed_data=allow_changed_data,
        )
        self.remember_arguments()
        check_start(self.head)
        check_word("model.bn_mode", bn_mode, NormMode)
        self.checkpoint = checkpoint
        self.allow_partial = allow_partial
        self.checkpoint_class_names = checkpoint_class_names
        self.bn_mode = bn_mode
        self.stage1: dict[str, str] | None = None
        """The file that stage 2 started from and its SHA-256, as this was then: it may be gone by now."""
        self._started = False
        self._awaits_features = self.head.needs_features
        self.backbone.requires_grad_(False)
        self.train(self.training)

    @property
    def trains(self) -> bool:
        """Whether there is anything to fit; training-free heads are only tested."""
        return any(parameter.requires_grad for parameter in self.parameters())

    def train(self, mode: bool = True) -> "RetrainModule":
        """Set the mode of the head; the backbone stays in evaluation mode, whoever asks."""
        super().train(mode)
        self.backbone.eval()
        if mode and getattr(self, "bn_mode", "eval") == "train":
            for layer in self.backbone.modules():
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    layer.train()
        return self

    def features(self, images: Tensor) -> Tensor:
        """Features of images, without a graph, ``(N, C, H, W)`` to ``(N, D)``."""
        with torch.no_grad():
            return super().features(images)

    def setup(self, stage: str) -> None:
        """Refuse to fit what has nothing to train."""
        if stage == "fit":
            self.require_training()
        super().setup(stage)

    def check(self, data: object, trainer: Trainer | None = None) -> None:
        """Refuse callbacks that would train or change the backbone as well.

        Args:
            data: The data module, or anything with a ``rebalances`` flag.
            trainer: That is to train, if it is known.

        Raises:
            UsageError: If there is such a callback, or anything that every module refuses.
        """
        if trainer is not None and self.trains:
            _check_stays_frozen(trainer)
        super().check(data, trainer)

    def require_training(self) -> None:
        """Refuse to fit where there is nothing to fit.

        Raises:
            UsageError: If no parameter trains.
        """
        if not self.trains:
            raise UsageError(
                f"`model.head` {type(self.head).__name__} has nothing to train; use `lt-lightning test` with the same "
                f"arguments, or `pipeline`, which skips its training."
            )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from a stage-2 checkpoint: stage 1's weights must not come over it."""
        super().on_load_checkpoint(checkpoint)
        record = checkpoint.get(RECORD, {})
        self.stage1 = record.get("stage1")
        if not record.get(_UNSTARTED):
            self._started, self._awaits_features = True, False
        elif self._started:  # what a callback has tried out ends here
            self._started, self._awaits_features = False, self.head.needs_features

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say what it started from, or that nothing has been started yet: a callback saves what it will go back to."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[RECORD]["stage1"] = self.stage1
        if not self._started or self._awaits_features:
            checkpoint[RECORD][_UNSTARTED] = True

    # Of all hooks before the first batch these are the first that come after a stage-2 checkpoint has been restored.

    def on_fit_start(self) -> None:
        """Start from the checkpoint."""
        self.start_once()

    def on_train_start(self) -> None:
        """Start also what a callback tries out before: one that looks for a batch size or a learning rate."""
        self.start_once()
        super().on_train_start()

    def on_validation_start(self) -> None:
        """Start from the checkpoint."""
        self.start_once()

    def on_test_start(self) -> None:
        """Start from the checkpoint."""
        self.start_once()

    def on_predict_start(self) -> None:
        """Start from the checkpoint."""
        self.start_once()

    def start_once(self) -> None:
        """Start from the checkpoint, and from features where the head wants them, unless that has been done."""
        if not self._started:
            with torch.inference_mode(False):  # evaluation turns it on, and what it makes could not be trained later
                self.start_from_checkpoint()
            self._started = True
        if self._awaits_features and self._trainer is not None:  # without one there are no images yet
            with torch.inference_mode(False):
                self.start_from_features()

    def start_from_checkpoint(self) -> None:
        """Read the checkpoint, and start from it."""
        self.start_from(checkpoints.read(self.checkpoint))

    def start_from(self, source: checkpoints.Checkpoint, group: str = "model.") -> None:
        """Load the backbone's weights, hand the classifier to the head, and print what matched.

        A bias that the loss asks for replaces the classifier's.

        Args:
            source: The checkpoint, read.
            group: What stands before the options' names where they are typed.

        Raises:
            UsageError: As :meth:`find_in` does.
        """
        found, classifier, extra = self.find_in(source, group)
        checkpoints.load(found, self.backbone)  # unless a part is enough, only counts of batches can be missing
        self.past = [*source.origins, *past_left(self.backbone, self.allow_partial)]
        with check_kept(self.head):
            start_head(self.head, self.loss, classifier.weight, classifier.bias)
        if is_first():  # which alone writes it down
            self.stage1 = file_and_hash(self.checkpoint)
        _say(checkpoints.report(found, classifier, extra, type(self.head).__name__))

    def find_in(
        self, source: checkpoints.Checkpoint, group: str = "model."
    ) -> tuple[checkpoints.Match, checkpoints.Classifier, list[str]]:
        """Find in a checkpoint what this module is to start from, and leave the module as it is.

        Args:
            source: The checkpoint, read.
            group: What stands before the options' names where they are typed.

        Returns:
            The backbone held against it; its classifier, rows in the data's class order; its tensors that neither has
            a use for.

        Raises:
            UsageError: If anything but the whole backbone matches, with the backbones that would, unless
                ``allow_partial``; or if the checkpoint's classes are not the data's, or it has no one linear
                classifier.
        """
        found = checkpoints.match(source, self.backbone)
        if (found.missing or found.misshapen) and not (self.allow_partial and found.tensors):
            raise mismatch_error(source, found, [], self.backbone, len(self.class_counts), group)
        order = self._class_order(source)
        self._check_source(source, order)
        classifier = checkpoints.find_classifier(
            found, self.backbone.num_features, len(self.class_counts), Path(self.checkpoint)
        )
        extra = unexpected(found, classifier)
        if extra and not self.allow_partial:
            raise mismatch_error(source, found, extra, self.backbone, len(self.class_counts), group)
        return found, classifier.in_order(order), extra

    def start_from_features(self) -> None:
        """Hand the head the features of all training images, as evaluation sees them, and say so.

        Raises:
            UsageError: If the trainer's data cannot give them.
        """
        features, targets = training_features(self)
        with check_kept(self.head):
            self.head.init_from_features(features, targets)
        self._awaits_features = False
        _say(f"{type(self.head).__name__} made from the features of {len(features)} training images")

    def _class_order(self, source: checkpoints.Checkpoint) -> list[int] | None:
        """Rows of the checkpoint's classifier in the data's class order; ``None`` where nothing says they differ."""
        ours = getattr(self._data(), "class_names", None)
        if ours is None:
            return None
        if unused := unused_names(source, ours, self.checkpoint_class_names):
            _say(unused)
        theirs = checkpoints.names_of_rows(source, ours, self.checkpoint_class_names)
        return None if theirs is None else class_order(theirs, ours, source.path)

    def _check_source(self, source: checkpoints.Checkpoint, order: list[int] | None) -> None:
        """Hold what the checkpoint records of its data against the data at hand."""
        counts = source.class_counts
        if counts is not None and order is not None:
            counts = [counts[row] for row in order]
        self.check_record({"class_counts": counts, "split": source.split}, f"`checkpoint` {self.checkpoint!r}")
        check_transform(source.transform, self._data(), f"those of `checkpoint` {self.checkpoint!r}")


def _check_stays_frozen(trainer: Trainer) -> None:
    """Refuse callbacks that unfreeze the backbone, or reset its batch-normalisation statistics as SWA does."""
    for callback in cast(Any, trainer).callbacks:
        name = type(callback).__name__
        if isinstance(callback, BaseFinetuning):
            raise UsageError(
                f"`trainer.callbacks` {name} unfreezes parts of a network, and the backbone of stage 2 stays frozen; "
                f"leave it out, or use it in stage 1, `--model RepresentationModule`."
            )
        if isinstance(callback, StochasticWeightAveraging):
            raise UsageError(
                f"`trainer.callbacks` {name} resets the statistics of a network, and the backbone of stage 2 stays as "
                f"it is; use `WeightEMA`, which averages the weights that train."
            )


def _say(message: str) -> None:
    if is_first():
        print(message, flush=True)

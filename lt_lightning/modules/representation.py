"""Stage 1: learning a representation."""

from collections.abc import Callable
from typing import Any, cast

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import nn

from lt_lightning.backbones import Backbone
from lt_lightning.errors import UsageError, check_makes, refusing_abstract_classes
from lt_lightning.functional.checks import images_and_targets
from lt_lightning.heads import LinearHead
from lt_lightning.losses import CrossEntropyLoss
from lt_lightning.mixing import Draws, Mixed, Mixing, NoMixing
from lt_lightning.modules.base import Batch, HeadFactory, LossFactory, LTModule
from lt_lightning.modules.combinations import check_head_learns
from lt_lightning.modules.origin import check_published
from lt_lightning.modules.speed import Compilation
from lt_lightning.schedules import CosineLR
from lt_lightning.seeds import run_seed

MixingFactory = Callable[[], Mixing]


class RepresentationModule(LTModule):
    """Stage 1: train backbone and classifier together.

    Args:
        class_counts: Training images per class; the command line links them from the data.
        backbone: Feature extractor.
        head: Makes the classifier from ``(num_features, class_counts)``.
        loss: Makes the loss from ``(class_counts,)``.
        mixing: Makes what mixes pairs of training images; by default nothing does.
        optimizer: Makes the optimiser from the parameters that train; LORT's stage 1 by default.
        lr_scheduler: Makes the learning-rate schedule from the optimiser; stepped once per epoch.
        group_thresholds: ``(low, high)`` training images that separate few, medium and many; linked from the data.
        channels_last: Whether convolutions run in the channels-last memory format.
        compile: How ``torch.compile`` compiles the backbone, "none" for not at all; "reduce-overhead" uses CUDA graphs.
        tf32: Whether fp32 products on a GPU may be of TF32 numbers.
        flip_average: Whether logits in ``test`` and ``predict`` are the mean over an image and its mirror image.
        allow_double_balancing: Whether loss, head and sampler may correct for imbalance more than once.
        allow_changed_data: Whether a checkpoint may have been trained on other class counts or another split.

    Raises:
        UsageError: If head and loss, or mixing and loss, do not go together, or one of them is made already.
    """

    def __init__(
        self,
        class_counts: list[int],
        backbone: Backbone,
        head: HeadFactory = LinearHead,
        loss: LossFactory = CrossEntropyLoss,
        mixing: MixingFactory = NoMixing,
        optimizer: OptimizerCallable = lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=5e-3),
        lr_scheduler: LRSchedulerCallable = lambda o: CosineLR(o),
        group_thresholds: tuple[int, int] = (20, 100),
        channels_last: bool = False,
        compile: Compilation = "none",
        tf32: bool = True,
        flip_average: bool = False,
        allow_double_balancing: bool = False,
        allow_changed_data: bool = False,
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
        check_makes("model.mixing", mixing, Mixing)
        with refusing_abstract_classes():
            self.mixing = mixing()
        self.mixing.check(self.loss)

    def setup(self, stage: str) -> None:
        """Warn of images that published weights are not used to; refuse an average that would come too late."""
        super().setup(stage)
        if stage == "fit":
            _check_average_is_kept(self)
            check_published(self.backbone, self._data())

    def check(self, data: object, trainer: Trainer | None = None) -> None:
        """Refuse a head of stage 2 as well, but only before training: a stage-1 checkpoint may be tested with one.

        Args:
            data: The data module, or anything with a ``rebalances`` flag.
            trainer: That is to train, if it is known.

        Raises:
            UsageError: If the head leaves the classifier as it is, or anything that every module refuses.
        """
        check_head_learns(self.head, type(self).__name__)
        super().check(data, trainer)

    def mix(self, batch: Batch, batch_idx: int) -> Mixed:
        """Mix pairs of images; what is drawn follows from run, epoch and batch, so a resumed run draws the same."""
        images, targets = images_and_targets(batch, self._data())
        draws = Draws.at(run_seed(), self.current_epoch, batch_idx, self.global_rank)
        return self.mixing.mix(images, targets, draws)


def _check_average_is_kept(module: LTModule) -> None:
    """Refuse SWA without batch normalisation: it puts the average in after the last checkpoint and validation."""
    if any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in module.modules()):
        return
    for callback in cast(Any, module.trainer).callbacks:
        if isinstance(callback, StochasticWeightAveraging):
            raise UsageError(
                f"`trainer.callbacks` {type(callback).__name__} averages weights without batch normalisation only "
                f"after the last checkpoint and validation, which would not be of the average; use `WeightEMA`."
            )

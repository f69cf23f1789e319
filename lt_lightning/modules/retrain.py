"""Stage 2: retraining the classifier on a frozen backbone."""

from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from lt_lightning import checkpoints
from lt_lightning.backbones import Backbone, TorchvisionBackbone
from lt_lightning.backbones.identify import fitting_backbones
from lt_lightning.errors import UsageError
from lt_lightning.heads import LinearHead
from lt_lightning.losses import CrossEntropyLoss
from lt_lightning.modules.base import HeadFactory, LossFactory, LTModule
from lt_lightning.schedules import CosineLR


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
        bn_mode: ``eval`` keeps the backbone's batch-normalisation statistics; ``train`` normalises by the batch and
            moves them, as published stage-2 code does (its weights stay frozen either way).
        group_thresholds: ``(low, high)`` training images that separate few, medium and many; linked from the data.
        channels_last: Whether convolutions run in the channels-last memory format.
        compile: Whether the backbone is compiled.
        flip_average: Whether test logits are the mean over an image and its mirror image.
        allow_double_balancing: Whether loss, head and sampler may correct for imbalance more than once.
        allow_changed_data: Whether the checkpoint may have been trained on other class counts or another split.

    Raises:
        UsageError: If head and loss do not go together; when a run starts, if the checkpoint does not fit backbone and
            data.
    """

    def __init__(
        self,
        class_counts: list[int],
        checkpoint: str,
        backbone: Backbone,
        head: HeadFactory = LinearHead,
        loss: LossFactory = CrossEntropyLoss,
        optimizer: OptimizerCallable = lambda p: torch.optim.SGD(p, lr=5e-4, momentum=0.9),
        lr_scheduler: LRSchedulerCallable = lambda o: CosineLR(o),
        bn_mode: Literal["eval", "train"] = "eval",
        group_thresholds: tuple[int, int] = (20, 100),
        channels_last: bool = False,
        compile: bool = False,
        flip_average: bool = False,
        allow_double_balancing: bool = False,
        allow_changed_data: bool = False,
    ) -> None:
        super().__init__(
            class_counts,
            backbone,
            head,
            loss,
            optimizer,
            lr_scheduler,
            group_thresholds,
            channels_last,
            compile,
            flip_average,
            allow_double_balancing,
            allow_changed_data,
        )
        self.remember_arguments()
        self.checkpoint = checkpoint
        self.bn_mode = bn_mode
        self._started = False
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
            for module in self.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.train()
        return self

    def features(self, images: Tensor) -> Tensor:
        """Features of images, without a graph, ``(N, C, H, W)`` to ``(N, D)``."""
        with torch.no_grad():
            return super().features(images)

    def setup(self, stage: str) -> None:
        """Refuse to fit what has nothing to train."""
        if stage == "fit" and not self.trains:
            raise UsageError(
                f"`model.head` {type(self.head).__name__} has nothing to train; use `lt-lightning test` with the same "
                f"arguments, or `pipeline`, which skips its training."
            )
        super().setup(stage)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from a stage-2 checkpoint: stage 1's weights must not come over it."""
        super().on_load_checkpoint(checkpoint)
        self._started = True

    # Of all hooks before the first batch these are the first that come after a stage-2 checkpoint has been restored.

    def on_fit_start(self) -> None:
        """Start from the checkpoint."""
        self._start_once()

    def on_validation_start(self) -> None:
        """Start from the checkpoint."""
        self._start_once()

    def on_test_start(self) -> None:
        """Start from the checkpoint."""
        self._start_once()

    def on_predict_start(self) -> None:
        """Start from the checkpoint."""
        self._start_once()

    def _start_once(self) -> None:
        if not self._started:
            with torch.inference_mode(False):  # evaluation turns it on, and what it makes could not be trained later
                self.start_from_checkpoint()
            self._started = True

    def start_from_checkpoint(self) -> None:
        """Load the backbone's weights, hand the classifier to the head, and print what matched.

        Raises:
            UsageError: If anything but the whole backbone matches, with the backbones that would.
        """
        source = checkpoints.read(self.checkpoint)
        found = checkpoints.match(source, self.backbone)
        if found.missing or found.misshapen:
            raise self._misfit(source, found, [])
        self.check_record(
            {"class_counts": source.class_counts, "split": source.split}, f"`checkpoint` {self.checkpoint!r}"
        )
        classifier = checkpoints.find_classifier(
            found, self.backbone.num_features, len(self.class_counts), Path(self.checkpoint)
        )
        extra = checkpoints.unexpected(found, classifier)
        if extra:
            raise self._misfit(source, found, extra)
        self.backbone.load_state_dict(found.tensors, strict=False)  # only counts of batches may be missing
        self.head.init_from(classifier.weight, classifier.bias)
        rows, columns = classifier.weight.shape
        _say(
            f"checkpoint {self.checkpoint} ({source.form}): {len(found.tensors)} of {found.total} backbone tensors "
            f"matched under the prefix '{found.prefix}'; classifier '{classifier.name}' ({rows} classes × {columns} "
            f"features, {'with' if classifier.bias is not None else 'no'} bias) given to {type(self.head).__name__}"
        )

    def _misfit(self, source: checkpoints.Checkpoint, found: checkpoints.Match, extra: list[str]) -> UsageError:
        names = fitting_backbones(lambda backbone: _fits(source, backbone, len(self.class_counts)))
        advice = f"it fits {' or '.join(names)}" if names else "it fits none of the backbones known here"
        return UsageError(
            f"`checkpoint` {self.checkpoint!r} does not fit `model.backbone` {_describe(self.backbone)} "
            f"({checkpoints.explain_mismatch(found, extra)}); {advice}."
        )


def _fits(source: checkpoints.Checkpoint, backbone: Backbone, num_classes: int) -> bool:
    found = checkpoints.match(source, backbone)
    if found.missing or found.misshapen:
        return False
    try:
        classifier = checkpoints.find_classifier(found, backbone.num_features, num_classes, source.path)
    except UsageError:
        return False
    return not checkpoints.unexpected(found, classifier)


def _describe(backbone: Backbone) -> str:
    if not isinstance(backbone, TorchvisionBackbone):
        return type(backbone).__name__
    return f'TorchvisionBackbone(name="{backbone.name}"{", cifar_stem=True" if backbone.cifar_stem else ""})'


@rank_zero_only
def _say(message: str) -> None:
    print(message, flush=True)

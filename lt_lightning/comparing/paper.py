"""``protocol="paper"``: stage 2 as published code runs it, on images, its best epoch and seed chosen on test images."""

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy, deepcopy
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from lt_lightning.backbones.base import in_type_of_weights, type_of_weights
from lt_lightning.comparing.evaluation import ROWS, Predictions, accuracies, evaluate
from lt_lightning.comparing.grid import Point
from lt_lightning.comparing.outcome import Options, Run
from lt_lightning.comparing.selection import Selection, better
from lt_lightning.comparing.settings import Settings
from lt_lightning.comparing.source import Source
from lt_lightning.comparing.training import Stage1, Trained
from lt_lightning.data import LTDataModule
from lt_lightning.errors import UsageError
from lt_lightning.functional import top_class
from lt_lightning.functional.flip_averaging import flip_averaged
from lt_lightning.heads import Head
from lt_lightning.losses import Loss
from lt_lightning.modules import RetrainModule
from lt_lightning.modules.divergence import DivergedError
from lt_lightning.modules.starting import start_head
from lt_lightning.processes import rank_and_world_size
from lt_lightning.progress import Advance
from lt_lightning.quiet import quiet
from lt_lightning.signals import sigterm_interrupts

Images = Callable[[Tensor], Tensor]
"""From images ``(B, C, H, W)`` to logits ``(B, K)``."""

BEST_ON_TEST = Selection(
    False,
    "as in the papers, the epoch of each seed and then the seed are those that are best on the test images, so figures "
    "are too high by what that choice gains",
    on_test=True,
)

_SEED = "PL_GLOBAL_SEED"  # what the data module goes by
_WORKERS = "PL_SEED_WORKERS"


def check(grid: Mapping[str, Any], options: Options) -> None:
    """Refuse what this protocol has no use for.

    Raises:
        UsageError: If there is a grid, views of features or an oracle, or more than one process.
    """
    if grid:
        raise UsageError(
            f"`grid` ({', '.join(grid)}) cannot go with `protocol` paper, which runs methods with their own "
            f"settings; leave it out, or give a YAML file with other settings as a method."
        )
    if options.views != "published":
        raise UsageError(
            f"`views` {options.views!r} cannot go with `protocol` paper, which trains on images that are augmented "
            f"anew in every epoch; leave it out."
        )
    if options.oracle:
        raise UsageError("`oracle` true cannot go with `protocol` paper, for it is trained on features; leave it out.")
    processes = rank_and_world_size()[1]
    if processes > 1:
        raise UsageError(f"`protocol` paper runs in one process, but there are {processes}; start one.")


def train_on_images(
    point: Point,
    seed: int,
    settings: Settings,
    source: Source,
    data: LTDataModule,
    device: torch.device,
    channels_last: bool,
    on_epoch: Advance,
) -> tuple[Trained, Run, Predictions | None]:
    """Train a method as ``fit`` does, with batch normalisation in training mode, and test it after every epoch.

    Args:
        point: The method.
        seed: Of first weights, order of images and augmentation.
        settings: Of the method.
        source: What it starts from; left as it is.
        data: Its images; left as they are.
        device: Where to train.
        channels_last: Whether convolutions run in the channels-last memory format.
        on_epoch: Called with 1 after each epoch.

    Returns:
        The head as of its best epoch, what the run gave, and what the head says of the test images, averaged over
        mirror images; ``None`` if no epoch gave finite logits.
    """
    started = time.perf_counter()
    data = copy(data)  # another sampler and batch size, the same images
    data.sampler, data.batch_size = settings.sampler, settings.batch_size
    with warnings.catch_warnings(), _seeded(seed):
        quiet()  # from Python nobody has called it yet
        module = _Module(source, data, settings, channels_last)
        best = _BestOnTest(data, on_epoch)
        trainer = Trainer(
            accelerator=device.type,
            devices=1 if device.index is None or device.type == "cpu" else [device.index],
            max_epochs=settings.epochs,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,  # one bar for all runs
            enable_model_summary=False,
            use_distributed_sampler=False,
            callbacks=[best],
        )
        with sigterm_interrupts(), suppress(DivergedError):  # the epochs before it count, if there are any
            trainer.fit(module, datamodule=data)
    loss = module.loss.cpu().eval()
    head = module.head if best.head is None else best.head
    seconds = time.perf_counter() - started
    trained = Trained(point, seed, head.cpu().eval(), loss, settings.epochs, seconds)
    run = Run(seed, best.epoch, best.scores, seconds)
    return trained, run, None if best.logits is None else _evaluate(best.logits, data, loss, best.epoch)


def evaluate_untrained(head: Head, loss: Loss, source: Source, data: LTDataModule, device: torch.device) -> Predictions:
    """Test a head on stage 1's backbone as it is, averaged over mirror images."""
    backbone = deepcopy(source.backbone).to(device).eval()
    head = head.to(device)

    def forward(images: Tensor) -> Tensor:
        return head.predict(backbone(in_type_of_weights(images, type_of_weights(backbone))))

    return _evaluate(_flip_averaged(forward, data, device), data, loss.cpu(), 0)


class _Module(RetrainModule):
    """Stage 2 from a checkpoint that has been read already, so that each run does not report on it again."""

    def __init__(self, source: Source, data: LTDataModule, settings: Settings, channels_last: bool) -> None:
        super().__init__(
            data.class_counts,
            source.path,
            deepcopy(source.backbone),
            settings.head,
            settings.loss,
            settings.optimizer,
            settings.lr_scheduler,
            bn_mode="train",
            group_thresholds=data.group_thresholds,
            channels_last=channels_last,
            flip_average=True,
            allow_double_balancing=settings.allow_double_balancing,
        )
        self._classifier: Stage1 = source.classifier

    def start_from_checkpoint(self) -> None:
        """Hand stage 1's classifier to the head; the backbone has its weights."""
        start_head(self.head, self.loss, self._classifier.weight, self._classifier.bias)


class _BestOnTest(Callback):
    """Keeps the head and the logits of the epoch that is best on the test images."""

    def __init__(self, data: LTDataModule, on_epoch: Advance) -> None:
        self.data = data
        self.on_epoch = on_epoch
        self.scores: list[float] = []
        self.epoch = 0
        self.logits: Tensor | None = None
        self.head: Head | None = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Test."""
        module = cast(RetrainModule, pl_module)
        module.eval()
        logits = _flip_averaged(module, self.data, module.device)
        module.train()
        score = float("nan")
        if bool(logits.isfinite().all()):
            targets = _targets(self.data)
            correct = targets[top_class(logits) == targets].bincount(minlength=self.data.num_classes)
            score = accuracies(correct, targets, self.data.class_counts, self.data.group_thresholds)["all"]
            if self.logits is None or better(score, self.scores[self.epoch - 1]):
                self.logits, self.epoch = logits, len(self.scores) + 1
                self.head = deepcopy(module.head)
        self.scores.append(score)
        self.on_epoch(1)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed everything as ``fit`` does, and leave random states and environment as they were."""
    before = {name: os.environ.get(name) for name in (_SEED, _WORKERS)}
    with isolate_rng():
        seed_everything(seed, workers=True, verbose=False)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def _flip_averaged(forward: Images, data: LTDataModule, device: torch.device) -> Tensor:
    """Mean logits of each test image and its mirror image, ``(N, K)``, on the CPU."""
    with torch.no_grad():
        batches = data.undistorted_batches("test", device)
        return torch.cat([flip_averaged(forward, images).cpu() for images, _ in batches])


def _evaluate(logits: Tensor, data: LTDataModule, loss: Loss, epoch: int) -> Predictions:
    parts = torch.split(logits, ROWS)
    found = evaluate(parts, _targets(data), loss, data.class_counts, data.group_thresholds, None)
    found.figures["epoch"] = epoch
    return found


def _targets(data: LTDataModule) -> Tensor:
    return data.required("test").targets

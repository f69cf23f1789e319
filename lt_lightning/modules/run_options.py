"""What options of a Trainer, and callbacks and schedules that go by a figure, would make of a run, before it begins."""

import math
from collections.abc import Mapping
from typing import Any, cast

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    EarlyStopping,
    LambdaCallback,
    LearningRateFinder,
    LearningRateMonitor,
    ModelCheckpoint,
)
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lt_lightning.errors import UsageError
from lt_lightning.modules.loop_state import batches_per_step
from lt_lightning.packages import comes_from

_AT_LEAST_1 = ("accumulate_grad_batches", "check_val_every_n_epoch")
"""Options by which Lightning divides without having looked at them."""

_LENGTHS = ("max_epochs", "max_steps", "limit_train_batches")
"""Options with which, at 0, Lightning leaves training out without a word."""

STEP_LOSS, EPOCH_LOSS = "train/loss", "train/loss_epoch"
"""Means of the training loss: over the last ``log_every_n_steps`` steps of an epoch, and over each epoch as it ends."""

_COUNTS = ("epoch", "step")
"""What Lightning itself has beside the figures that are logged."""


def check_options(trainer: Trainer) -> None:
    """Refuse options with which a run would fail in its middle, or train nothing.

    Raises:
        UsageError: If there is one.
    """
    for name in _AT_LEAST_1:
        value = getattr(trainer, name)
        if value is not None and value < 1:
            raise UsageError(f"`trainer.{name}` must be at least 1, but got {value}.")
    if trainer.val_check_interval == 0:
        raise UsageError("`trainer.val_check_interval` must be above 0, but got 0; give 1.0 for once an epoch.")
    for name in _LENGTHS:
        if getattr(trainer, name) == 0:
            raise UsageError(f"`trainer.{name}` is 0, so nothing would be trained; raise it.")


def check_going_on(trainer: Trainer, checkpoint: Mapping[str, Any]) -> None:
    """Refuse to go on from a checkpoint with a callback that would have training begin anew.

    Args:
        trainer: That has loaded the checkpoint.
        checkpoint: What it holds; what such a callback has saved to go back to has no step that is yet to be taken.

    Raises:
        UsageError: If there is one.
    """
    if trainer.state.fn != "fit" or checkpoint.get("global_step", 0) <= trainer.global_step:
        return
    for callback in cast(Any, trainer).callbacks:
        if isinstance(callback, BatchSizeFinder | LearningRateFinder):
            raise UsageError(
                f"`trainer.callbacks` {type(callback).__name__} has training begin anew, so it does not go with "
                f"`ckpt_path` {str(trainer.ckpt_path)!r}; leave it out, and give what it found, which it said as that "
                f"run began, as an option."
            )


def check_monitors(
    module: object,
    trainer: Trainer,
    scheduler: LRScheduler | ReduceLROnPlateau,
    figures: Mapping[str, int],
    data: object,
) -> None:
    """Refuse figures to go by that the run will not have, or whose worst value would be looked for.

    Parts of one's own may log anything: where there is one, a name that is not known may be right.

    Args:
        module: That is to be trained.
        trainer: That is to train it.
        scheduler: Of the learning rate.
        figures: How many classes each figure of validation is about, by its name without ``val/``.
        data: The data module; only one of this package can say that it has no validation images.

    Raises:
        UsageError: If there is no such figure, or its better end is the other one.
    """
    callbacks = cast(Any, trainer).callbacks
    ours = all(_is_known(part) for part in (module, *callbacks))
    for part in (*callbacks, scheduler):
        name, mode = getattr(part, "monitor", None), getattr(part, "mode", None)
        if not isinstance(name, str) or name in _COUNTS:
            continue
        if getattr(part, "save_top_k", 1) == -1:
            mode = None  # it keeps all
        where = f"`{type(part).__name__}` goes by `monitor` {name!r}"
        split, _, figure = name.partition("/")
        if split == "val" and figure in figures:
            if trainer.limit_val_batches == 0 or (_is_known(data) and not getattr(data, "has_validation", True)):
                raise UsageError(f"{where}, but there will be no validation images; give the data some.")
            if figures[figure] == 0:
                raise UsageError(f"{where}, but no class is in that group, so it has no value; give another.")
            if part is scheduler and trainer.check_val_every_n_epoch is None:
                raise UsageError(
                    f"{where} when an epoch ends, but `trainer.check_val_every_n_epoch` is null, so that no image need "
                    f"have been looked at by then; give that a number, and leave `trainer.val_check_interval` out."
                )
        elif ours and name in (STEP_LOSS, EPOCH_LOSS):
            _check_loss_is_there(part, trainer, where, name, _steps(module, trainer, data))
        elif ours and split != "train" and getattr(part, "strict", True):
            known = ", ".join(f"val/{one}" for one in figures)
            raise UsageError(f"{where}, which nothing logs; give one of {known}, {EPOCH_LOSS}.")
        lower = name in (STEP_LOSS, EPOCH_LOSS) or figure == "ece"
        if (lower or (split == "val" and figure in figures)) and mode == ("max" if lower else "min"):
            better, other = ("lower", "min") if lower else ("higher", "max")
            raise UsageError(f"{where} with `mode` {mode}, but the {better} that is, the better; give `mode` {other}.")


def _steps(module: object, trainer: Trainer, data: object) -> float:
    """Of the first epoch, at most; without end where nobody knows them."""
    size, limit = getattr(data, "batch_size", None), trainer.limit_train_batches
    number = math.ceil(sum(cast(Any, module).class_counts) / size) if size else math.inf
    if isinstance(limit, int):  # which counts batches, so that 1 is one, and 1.0 all
        number = min(number, limit)
    elif size:
        number = int(number * limit)
    return math.ceil(number / batches_per_step(trainer, 0)) if number < math.inf else number


def _check_loss_is_there(part: object, trainer: Trainer, where: str, name: str, steps: float) -> None:
    """Refuse to go by a training loss that will not have been logged when it is looked at first."""
    if name == EPOCH_LOSS:
        if (remedy := _when_epochs_end(part, trainer)) is not None:
            raise UsageError(f"{where}, which there is only when an epoch has ended; {remedy}.")
        return
    interval = cast(Any, trainer).log_every_n_steps
    own = part._every_n_train_steps if isinstance(part, ModelCheckpoint) else 0
    if not interval or (own or steps) < interval:
        raise UsageError(
            f"{where}, the mean of the last steps, which `trainer.log_every_n_steps` {interval} will not have logged "
            f"when it is looked at; give {EPOCH_LOSS}, the mean of each epoch."
        )


def _when_epochs_end(part: object, trainer: Trainer) -> str | None:
    """How to have a callback look at figures when an epoch has ended; ``None`` if it does."""
    if isinstance(part, ModelCheckpoint):
        if not part.every_n_epochs:
            return "have it save by `every_n_epochs`"
        option, chosen = "save_on_train_epoch_end", part._save_on_train_epoch_end
    elif isinstance(part, EarlyStopping):
        option, chosen = "check_on_train_epoch_end", part._check_on_train_epoch_end
    else:
        return None
    if chosen is None:  # it looks after validation, unless that comes once an epoch
        chosen = trainer.val_check_interval == 1.0 and trainer.check_val_every_n_epoch == 1
    return None if chosen else f"give it `{option}` true"


def _is_known(part: object) -> bool:
    """Whether all that a module, callback or data module may log, or validate on, is known here."""
    home = comes_from(type(part), "lightning", "lt_lightning")
    return home and not isinstance(part, LambdaCallback | LearningRateMonitor)

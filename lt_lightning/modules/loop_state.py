"""Where a run stands in its training, by what Lightning's loops have counted."""

from math import ceil, inf
from typing import Any, cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler, StochasticWeightAveraging, Timer
from lightning.pytorch.utilities import rank_zero_warn

from lt_lightning.errors import UsageError


def mark_unfinished_epoch(checkpoint: dict[str, Any]) -> None:
    """Have a checkpoint say of an epoch that ended early that it has not ended.

    Lightning counts an epoch as done when ``max_steps``, ``max_time`` or a callback has stopped it, so that a run
    resumed from there would leave the rest of it out. Its count of batches is right; this makes the count of epochs
    agree with it, as in a checkpoint that was saved between two batches.

    Args:
        checkpoint: What Lightning is about to save, changed in place.
    """
    loop = checkpoint.get("loops", {}).get("fit_loop")
    if loop is None or loop["epoch_loop.batch_progress"]["is_last_batch"]:
        return
    epochs = loop["epoch_progress"]
    if epochs["current"]["started"] == 0 or epochs["current"]["processed"] < epochs["current"]["started"]:
        return  # nothing has begun, or the epoch goes on
    for count in (epochs["total"], epochs["current"]):
        count["processed"] = count["completed"] = count["started"] - 1
    checkpoint["epoch"] = epochs["current"]["processed"]


def steps_after(trainer: Trainer, batch_idx: int) -> bool:
    """Whether the optimiser steps after a batch; else its gradients wait for those of the next ones."""
    return (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch


def batches_per_step(trainer: Trainer, epoch: int) -> int:
    """Batches whose gradients a step of an epoch gathers; a callback may have them differ between epochs."""
    for callback in cast(Any, trainer).callbacks:
        if isinstance(callback, GradientAccumulationScheduler):
            return callback.get_accumulate_grad_batches(epoch)
    return trainer.accumulate_grad_batches


def comes_to(trainer: Trainer, epoch: int) -> bool:
    """Whether ``max_steps`` lets a run come from where it stands to an epoch.

    Yes while nobody knows how many batches an epoch has.
    """
    now, batches = trainer.current_epoch, trainer.num_training_batches
    if trainer.max_steps == -1 or batches == inf or epoch <= now:
        return True
    left = [batches - _trained_of_epoch(trainer), *[batches] * (epoch - now - 1)]
    steps = (ceil(number / batches_per_step(trainer, at)) for at, number in enumerate(left, now))
    return trainer.global_step + sum(steps) < trainer.max_steps


def _trained_of_epoch(trainer: Trainer) -> int:
    """Batches trained in this epoch; 0 before it starts, when Lightning's counter still holds the last epoch's."""
    loop = cast(Any, trainer.fit_loop)
    epochs, batches = loop.epoch_progress.current, loop.epoch_loop.batch_progress.current
    return int(batches.processed) if epochs.completed < epochs.started else 0


def check_rest_of_epoch(trainer: Trainer) -> None:
    """Hold the place inside an epoch that a resumed run goes on from against its batches, as training begins.

    Raises:
        UsageError: If the epoch has no more batches than have been trained: Lightning would not notice that it ends,
            and leave out the schedule's step; or if the checkpoint was written after the last batch, before the epoch
            ended, and an epoch has more now: Lightning would leave out as many batches of the next one.

    Warns:
        UserWarning: If gradients are lost that the next step was to gather, which no checkpoint holds.
    """
    if trainer.ckpt_path is None:
        return
    progress, batches = trainer.fit_loop.epoch_loop.batch_progress, trainer.num_training_batches
    current, path = cast(Any, progress.current), str(trainer.ckpt_path)
    trained = current.processed
    if progress.is_last_batch:
        if current.completed < trained < batches < inf:
            raise UsageError(
                f"`ckpt_path` {path!r} was written after the last of {trained} batches of an epoch, but one of this "
                f"run has {batches}; give `data.batch_size`, `trainer.limit_train_batches` and "
                f"`trainer.overfit_batches` as they were there, or a checkpoint of an epoch's end."
            )
        return
    if trained >= batches:
        raise UsageError(
            f"`ckpt_path` {path!r} was written {trained} batches into an epoch, but one of this run has only "
            f"{batches}; give `trainer.limit_train_batches` and `trainer.overfit_batches` as they were there, or a "
            f"checkpoint of an epoch's end."
        )
    if lost := trained % trainer.accumulate_grad_batches:
        rank_zero_warn(
            f"`ckpt_path` {path!r} was written inside a step, so that the gradients of {lost} of its "
            f"{trainer.accumulate_grad_batches} batches are lost; a checkpoint of an epoch's end has lost none."
        )


def begin_epoch(trainer: Trainer, module: LightningModule) -> None:
    """Have an epoch begin that a resumed run goes on with, where Lightning leaves that out and something waits for it.

    Where a checkpoint was written after an epoch's last batch, Lightning takes the next epoch for one that has begun:
    callbacks would not hear of it, and later checkpoints would count one epoch less. In an epoch that has begun, its
    weight averaging would have no schedule, which it makes as one begins.

    Args:
        trainer: That trains, its place in the epoch restored.
        module: That is trained.

    Raises:
        UsageError: If the epoch is the pass that weight averaging adds for statistics, which counts its batches anew.
    """
    loop = trainer.fit_loop
    epochs = cast(Any, loop.epoch_progress.current)
    if not loop.restarted_mid_epoch:
        return
    averaging = [one for one in cast(Any, trainer).callbacks if isinstance(one, StochasticWeightAveraging)]
    if any(trainer.current_epoch > callback.swa_end for callback in averaging):
        raise UsageError(
            f"`ckpt_path` {str(trainer.ckpt_path)!r} was written in the pass that `StochasticWeightAveraging` adds for "
            f"statistics, or just before it, where it cannot go on; give a checkpoint of an epoch's end, such as "
            f"last.ckpt, or use `WeightEMA`."
        )
    if epochs.completed == epochs.started:  # the one before has had its last batch
        loop.reset_restart_stage()
        return
    for callback in averaging:
        callback.on_train_epoch_start(trainer, module)  # it takes no epoch's weights into the average twice


def run_ends(trainer: Trainer) -> bool:
    """Whether a run has had its steps or its time, or was stopped, asked when a batch has been trained."""
    if trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps:
        return True
    return trainer.should_stop and trainer.fit_loop._can_stop_early


def epochs_so_far(trainer: Trainer, most: int | None) -> int:
    """Epochs of training, the current one included; the pass that Lightning's weight averaging adds is none.

    Args:
        trainer: That trains.
        most: Its ``max_epochs`` before that pass was added.
    """
    epochs = trainer.current_epoch + 1
    return epochs if most in (None, -1) else min(epochs, most)


def time_is_up(trainer: Trainer) -> bool:
    """Whether a run, with those that it goes on from, has had its ``max_time``."""
    left = (found.time_remaining() for found in cast(Any, trainer).callbacks if isinstance(found, Timer))
    return any(seconds is not None and seconds <= 0 for seconds in left)


def why_nothing_trained(trainer: Trainer) -> str | None:
    """Why a resumed run did not train, and what to do; ``None`` if it was not resumed."""
    if trainer.ckpt_path is None:
        return None
    if trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps:
        done, remedy = f"{trainer.global_step} steps", "raise `trainer.max_steps`"
    elif time_is_up(trainer):
        done, remedy = "time", "raise `trainer.max_time`"
    else:
        done, remedy = f"{trainer.current_epoch} epochs", "raise `trainer.max_epochs`"
    if cast(Any, trainer).fast_dev_run:  # which sets these itself
        remedy = "leave out `trainer.fast_dev_run`"
    return (
        f"`ckpt_path` {str(trainer.ckpt_path)!r} has had its {done} of training already, so nothing was left to train; "
        f"{remedy} to go on."
    )

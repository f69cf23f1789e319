"""A module's optimiser and learning-rate schedule, made or refused."""

from typing import Any, cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.cli import ReduceLROnPlateau as MonitoringReduceLROnPlateau
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from lt_lightning.errors import UsageError
from lt_lightning.modules.loop_state import comes_to
from lt_lightning.modules.speed import prefer_fused
from lt_lightning.schedules import CosineLR, check_inner_lengths


def make_optimisation(
    module: LightningModule,
    optimizer: OptimizerCallable,
    lr_scheduler: LRSchedulerCallable,
    trainer: Trainer | None = None,
) -> tuple[Optimizer, LRScheduler | ReduceLROnPlateau]:
    """Make an optimiser of what requires gradients, and its schedule.

    Args:
        module: Whose parameters; they stay as they are.
        optimizer: Makes the optimiser from the parameters that train.
        lr_scheduler: Makes the learning-rate schedule from the optimiser.
        trainer: That the schedule must be long enough for; ``None`` where it is not known.

    Raises:
        UsageError: If one of them refuses its values, or a schedule goes by a figure that nobody has named, has a part
            without a length, or ends before the run does.
    """
    try:
        made = optimizer(parameter for parameter in module.parameters() if parameter.requires_grad)
    except ValueError as error:
        raise _refused("optimizer", error) from error
    prefer_fused(made)
    try:
        scheduler = lr_scheduler(made)
    except ValueError as error:
        raise _refused("lr_scheduler", error) from error
    if isinstance(scheduler, ReduceLROnPlateau) and not isinstance(scheduler, MonitoringReduceLROnPlateau):
        raise UsageError(
            "`model.lr_scheduler` ReduceLROnPlateau of torch does not say which figure it goes by; give "
            "`lightning.pytorch.cli.ReduceLROnPlateau` with `monitor` val/all and `mode` max."
        )
    check_inner_lengths(scheduler)
    if trainer is not None:
        check_length(scheduler, trainer, trainer.max_epochs)
    return made, scheduler


def check_length(scheduler: LRScheduler | ReduceLROnPlateau, trainer: Trainer, epochs: int | None) -> None:
    """Hold the length of a schedule that ends, or goes round, against the epochs of a run: each is one step of it.

    Args:
        scheduler: As it is when training begins, or as it was made.
        trainer: That is to train.
        epochs: Its ``max_epochs``, before Lightning's weight averaging adds one.

    Raises:
        UsageError: If it ends before the run does, which torch would say after all of it has been trained; or if it is
            as long as training, and nobody has said how long that is.

    Warns:
        UserWarning: If the run, or ``max_steps``, ends before it does.
    """
    if epochs is None or epochs < 1:
        if isinstance(scheduler, CosineLR) and scheduler.epochs is None:
            raise UsageError("`CosineLR` needs to know where training ends: set `trainer.max_epochs`, or its `epochs`.")
        return
    if cast(Any, trainer).fast_dev_run:
        return
    check_epochs(scheduler, epochs, "model.lr_scheduler", goes_on=bool(trainer.ckpt_path))
    _warn_of_steps(scheduler, trainer, epochs)


def _warn_of_steps(scheduler: LRScheduler | ReduceLROnPlateau, trainer: Trainer, epochs: int) -> None:
    """Warn of a schedule that fits the epochs of a run, which ``max_steps`` ends earlier; asked as training begins."""
    if isinstance(scheduler, CosineLR):
        length = scheduler.epochs or epochs
    elif isinstance(scheduler, OneCycleLR):
        length = scheduler.total_steps
    else:
        return
    if length <= epochs and not comes_to(trainer, length - 1):
        rank_zero_warn(
            f"`model.lr_scheduler` {type(scheduler).__name__} is {length} epochs long, of which the run does not come "
            f"to the last, as `trainer.max_steps` {trainer.max_steps} ends it; set `trainer.max_epochs` to the epochs "
            f"that there are, or raise `trainer.max_steps`."
        )


def check_epochs(
    scheduler: LRScheduler | ReduceLROnPlateau, epochs: int, key: str = "lr_scheduler", goes_on: bool = False
) -> None:
    """The same without a trainer.

    Args:
        scheduler: As of :func:`check_length`.
        epochs: Length of training.
        key: Names the schedule in an error.
        goes_on: Whether training goes on from a checkpoint, which brings the length of its schedule along.

    Raises:
        UsageError: As of :func:`check_length`.
    """
    if isinstance(scheduler, OneCycleLR):
        length, options = scheduler.total_steps, f"`total_steps` {epochs}"
    elif isinstance(scheduler, CyclicLR):
        length, options = round(scheduler.total_size), "its sizes in epochs"
    else:
        return
    said = (
        f"`{key}` {type(scheduler).__name__} is {length} steps long, but a schedule is stepped once per "
        f"epoch, {epochs} times in this run"
    )
    if length > epochs:
        rank_zero_warn(f"{said}, of which it does not come to its end; give {options} for one that does.")
    elif length < epochs and isinstance(scheduler, OneCycleLR):
        told = f"set `trainer.max_epochs` to {length}, as in the run that `ckpt_path` is from"
        raise UsageError(f"{said}, and ends for good; {told if goes_on else f'give {options}'}.")


def for_trainer(
    optimizer: Optimizer, scheduler: LRScheduler | ReduceLROnPlateau, trainer: Trainer
) -> OptimizerLRScheduler:
    """An optimiser and its schedule, stepped once per epoch, as ``configure_optimizers`` gives them to a Trainer.

    Raises:
        UsageError: If the schedule is as long as training, and nobody has said how long that is.
    """
    check_length(scheduler, trainer, trainer.max_epochs)
    if isinstance(scheduler, CosineLR) and scheduler.epochs is None:
        scheduler.set_epochs(cast(int, trainer.max_epochs))
    if isinstance(scheduler, MonitoringReduceLROnPlateau):
        # Its figure is new only where images have been looked at, and before that there is none.
        epochs = trainer.check_val_every_n_epoch if scheduler.monitor.startswith("val/") else 1
        stepped = {"scheduler": scheduler, "monitor": scheduler.monitor, "frequency": epochs or 1}
        return cast(OptimizerLRScheduler, {"optimizer": optimizer, "lr_scheduler": stepped})
    return [optimizer], [scheduler]


def _refused(part: str, error: ValueError) -> UsageError:
    if isinstance(error, UsageError):
        return error
    return UsageError(f"`model.{part}` refuses its values ({str(error).rstrip('.')}); give it others.")

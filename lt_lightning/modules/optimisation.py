"""A module's optimiser and learning-rate schedule, made or refused."""

from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.cli import ReduceLROnPlateau as MonitoringReduceLROnPlateau
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lt_lightning.errors import UsageError
from lt_lightning.modules.speed import prefer_fused


def make_optimisation(
    module: LightningModule, optimizer: OptimizerCallable, lr_scheduler: LRSchedulerCallable
) -> tuple[Optimizer, LRScheduler | ReduceLROnPlateau]:
    """Make an optimiser of what requires gradients, and its schedule.

    Args:
        module: Whose parameters; they stay as they are.
        optimizer: Makes the optimiser from the parameters that train.
        lr_scheduler: Makes the learning-rate schedule from the optimiser.

    Raises:
        UsageError: If one of them refuses its values, or a schedule goes by a figure that nobody has named.
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
    return made, scheduler


def for_trainer(optimizer: Optimizer, scheduler: LRScheduler | ReduceLROnPlateau) -> OptimizerLRScheduler:
    """An optimiser and its schedule, stepped once per epoch, as ``configure_optimizers`` gives them to a Trainer."""
    if isinstance(scheduler, MonitoringReduceLROnPlateau):
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": scheduler.monitor}}
    return [optimizer], [scheduler]


def _refused(part: str, error: ValueError) -> UsageError:
    if isinstance(error, UsageError):
        return error
    return UsageError(f"`model.{part}` refuses its values ({str(error).rstrip('.')}); give it others.")

"""Callbacks of Lightning's that unfreeze a network while it trains: what they go with, and what a resumed run needs."""

import warnings
from collections.abc import Collection

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import BackboneFinetuning, BaseFinetuning
from lightning.pytorch.utilities import rank_zero_warn
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lt_lightning.errors import UsageError
from lt_lightning.schedules import CosineLR

TRAINS = "trains"
"""Key of a record: what trains, as :func:`what_trains` names it; of a run with such a callback alone."""


def check_finetuning(trainer: Trainer, scheduler: LRScheduler | ReduceLROnPlateau) -> None:
    """Refuse processes and schedules that do not see what is unfrozen later.

    Whether a user's own callback unfreezes anything is unknown.

    Args:
        trainer: That is to train.
        scheduler: A throwaway instance: it gets stepped, and its optimiser changed.

    Raises:
        UsageError: If a callback unfreezes a network, and there are several processes, or the schedule would fail
            from then on.

    Warns:
        UserWarning: If a callback of one's own may unfreeze parts, and there are several processes.
    """
    callback = _finetuning_of(trainer)
    if callback is None:
        return
    name = f"`trainer.callbacks` {type(callback).__name__}"
    if not isinstance(callback, BackboneFinetuning):
        if trainer.world_size > 1:
            rank_zero_warn(
                f"what {name} may unfreeze during training has gradients that {trainer.world_size} processes do not "
                f"share, so that their networks drift apart."
            )
        return
    if trainer.world_size > 1:
        raise UsageError(
            f"{name} unfreezes parts of a network during training, whose gradients {trainer.world_size} processes "
            f"would not share, so that their networks drift apart; leave it out, or give `trainer.devices` 1."
        )
    if isinstance(scheduler, CosineLR | ReduceLROnPlateau):  # these ignore a later group, or take it along
        return
    if _fails_with_a_later_group(scheduler, callback, trainer.max_epochs):
        raise UsageError(
            f"{name} gives the optimiser another group of parameters during training, with which `model.lr_scheduler` "
            f"{type(scheduler).__name__} fails; give another schedule, such as `CosineLR`."
        )


def what_trains(module: nn.Module, trainer: Trainer | None) -> list[str]:
    """Names of the parameters that train and of the batch-normalisation statistics that are kept, for a resumed run.

    Args:
        module: As it trains.
        trainer: That trains it, if there is one.

    Returns:
        The names, none where no callback unfreezes a network.
    """
    if trainer is None or _finetuning_of(trainer) is None:
        return []
    parameters = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    return parameters + [name for name, layer in _normalisations(module).items() if layer.track_running_stats]


def train_again(module: nn.Module, trainer: Trainer, names: Collection[str]) -> None:
    """Unfreeze what trained where a checkpoint was saved: Lightning freezes it again, and does not put it back.

    The groups of an optimiser would not tell: one of a module's own may hold from the start what is frozen.

    Args:
        module: That is to go on.
        trainer: That is to train it.
        names: As :func:`what_trains` has given them.
    """
    if _finetuning_of(trainer) is None:
        return
    for name, parameter in module.named_parameters():
        if name in names:
            parameter.requires_grad_(True)
    for name, layer in _normalisations(module).items():
        if name in names:
            layer.track_running_stats = True


def _finetuning_of(trainer: Trainer) -> BaseFinetuning | None:
    callbacks = getattr(trainer, "callbacks", ())  # what a checkpoint is saved with outside a run has none
    return next((one for one in callbacks if isinstance(one, BaseFinetuning)), None)


def _normalisations(module: nn.Module) -> dict[str, nn.modules.batchnorm._BatchNorm]:
    """Layers of batch normalisation by the names of their means."""
    layers = module.named_modules()
    return {f"{name}.running_mean": one for name, one in layers if isinstance(one, nn.modules.batchnorm._BatchNorm)}


def _fails_with_a_later_group(scheduler: LRScheduler, callback: BackboneFinetuning, epochs: int | None) -> bool:
    """Whether a schedule cannot be stepped to its end once its optimiser has one more group of parameters."""
    begins = callback.unfreeze_backbone_at_epoch
    ends = begins + 1 if epochs is None or epochs < 1 else epochs
    optimizer = scheduler.optimizer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimiser has taken no step
        if not _takes_steps(scheduler, min(begins, ends)):  # fails even without the extra group: not for this check
            return False
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(()))], "lr": optimizer.param_groups[0]["lr"]})
        return not _takes_steps(scheduler, ends - begins)


def _takes_steps(scheduler: LRScheduler, number: int) -> bool:
    try:
        for _ in range(number):
            scheduler.step()
    except Exception:  # which one depends on the schedule, and on torch's version
        return False
    return True

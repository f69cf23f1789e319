"""Learning-rate schedules that end where training ends."""

from bisect import bisect_right
from math import cos, pi
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ChainedScheduler, LRScheduler, ReduceLROnPlateau, SequentialLR

from lt_lightning.errors import UsageError, check_at_least_0


class CosineLR(LRScheduler):
    """Half a cosine from the initial learning rate down to ``end_factor`` times it, stepped once per epoch.

    Unlike torch's, it needs no ``T_max``: the module fills in the trainer's ``max_epochs``, so a shorter run has a
    shorter schedule. Epoch ``e`` of ``E`` trains at ``lr · (1 + cos(π e / E)) / 2``, as in both of LORT's stages.
    A loop of your own, and training without an end, must give ``epochs``: it is refused to step without a length.

    Args:
        optimizer: The wrapped optimiser.
        end_factor: Where the cosine ends, as a fraction of the initial learning rate, at least 0.
        epochs: Length, at least 1, after which the rate stays at its end; ``None`` until :meth:`set_epochs` is called.

    Raises:
        UsageError: If ``end_factor`` is negative or not finite, or ``epochs`` below 1; by the first :meth:`step` if the
            length is not known.
    """

    def __init__(self, optimizer: Optimizer, end_factor: float = 0.0, epochs: int | None = None) -> None:
        check_at_least_0(end_factor=end_factor)
        if epochs is not None and epochs < 1:
            raise UsageError(f"`epochs` of `CosineLR` must be at least 1, but got {epochs}; null takes the run's.")
        self.end_factor = end_factor
        self.epochs = epochs
        super().__init__(optimizer)

    def set_epochs(self, epochs: int) -> None:
        """Fill in the length, unless the user has given one."""
        if self.epochs is None:
            self.epochs = epochs

    def state_dict(self) -> dict[str, Any]:
        """All but the length: a run resumed with more epochs has a longer schedule, see :func:`set_restored_rates`."""
        return {key: value for key, value in super().state_dict().items() if key != "epochs"}

    def get_lr(self) -> list[float]:  # type: ignore[override]  # torch's annotation admits tensors as well
        """Learning rate of each parameter group at the current epoch.

        A group that came later, as ``BackboneFinetuning`` adds one, keeps the rate that whoever added it gives it.

        Raises:
            UsageError: If the length is not known, but in the first step, which torch takes itself.
        """
        base_lrs = [float(lr) for lr in self.base_lrs]
        later = [float(group["lr"]) for group in self.optimizer.param_groups[len(base_lrs) :]]
        if self.epochs is None:
            if self._is_initial:  # torch takes the first step itself
                return base_lrs + later
            raise UsageError(
                "`CosineLR` does not know how long it is: give it the number of epochs, by `epochs` or `set_epochs`, "
                "also where training has no end; for a rate that stays leave it out."
            )
        share = (1 + cos(pi * min(self.last_epoch, self.epochs) / self.epochs)) / 2
        return [lr * (self.end_factor + (1 - self.end_factor) * share) for lr in base_lrs] + later


def leave_functions_out(checkpoint: dict[str, Any]) -> None:
    """Take the function out of the states of torch's :class:`SWALR`: a file that holds one is not opened safely.

    torch 2.9 has it there, 2.15 no longer. It is made anew with the schedule.

    Args:
        checkpoint: With the states of schedules and of callbacks; Lightning's average has its schedule's in its own.
    """
    callbacks = checkpoint.get("callbacks", {}).values()
    averages = (state.get("scheduler_state") for state in callbacks if isinstance(state, dict))
    for state in (*checkpoint.get("lr_schedulers", ()), *averages):
        if isinstance(state, dict):
            state.pop("anneal_func", None)


def set_restored_rates(scheduler: LRScheduler | ReduceLROnPlateau) -> None:
    """Give a restored optimiser the rate that a :class:`CosineLR` has now.

    What was restored is that of the length before, which is 0 after a run that had finished, and would train an epoch:
    torch computes no other before the next step. Where the length is the same, so is the rate.

    Args:
        scheduler: Restored, after its optimiser was; with one that has not been stepped, or is none of ours, nothing
            happens. Of ``SequentialLR`` the part counts whose turn it is.
    """
    while isinstance(scheduler, SequentialLR):
        scheduler = scheduler._schedulers[bisect_right(scheduler._milestones, scheduler.last_epoch)]
    if type(scheduler).get_lr is not CosineLR.get_lr or scheduler.last_epoch == 0:
        return
    rates = scheduler.get_lr()
    scheduler._last_lr = [*rates]
    for group, lr in zip(scheduler.optimizer.param_groups, rates, strict=True):
        if isinstance(group["lr"], Tensor):  # which a compiled step goes on reading
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def check_inner_lengths(scheduler: LRScheduler | ReduceLROnPlateau) -> None:
    """Refuse a :class:`CosineLR` without a length inside torch's ``SequentialLR`` or ``ChainedScheduler``.

    Its turn there may be any part of training, so nobody fills in a length.

    Args:
        scheduler: Of a run that has not begun.

    Raises:
        UsageError: If there is one, which would be refused when its turn comes.
    """
    if not isinstance(scheduler, SequentialLR | ChainedScheduler):
        return
    for inner in scheduler._schedulers:
        if isinstance(inner, CosineLR) and inner.epochs is None:
            raise UsageError(
                f"`CosineLR` inside `{type(scheduler).__name__}` has no length, and a run's epochs need not be those "
                f"of its part; give it the number of epochs that it takes, by `epochs`."
            )
        check_inner_lengths(inner)

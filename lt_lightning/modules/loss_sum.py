"""The training loss of many steps: added up where it is, and logged."""

from functools import partial
from typing import Any, cast

from lightning.pytorch import LightningModule
from torch import Tensor

from lt_lightning.modules.loop_state import steps_after
from lt_lightning.modules.run_options import EPOCH_LOSS, STEP_LOSS

_LOSS_SUMS = "losses_of_epoch"
"""Key of a checkpoint that holds what is logged of the training loss as the epoch goes on."""


class LossSum:
    """Sum and number of losses, kept on their device: read when it is logged or saved, so that no step waits for it.

    No buffer of a module: those take on the module's precision, and DDP overwrites them with the first process's.

    Args:
        total: Sum of the losses that came before.
        steps: How many these were.
    """

    def __init__(self, total: Tensor | float = 0.0, steps: int = 0) -> None:
        self.total = total
        self.steps = steps

    def add(self, loss: Tensor) -> None:
        """Add one step's loss."""
        self.total = self.total + loss.float()
        self.steps += 1

    def mean(self) -> Tensor | float:
        """Mean over the steps, of which there must be one."""
        return self.total / self.steps

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps of it; waits for the device."""
        return {"total": float(self.total), "steps": self.steps}


class LossOfEpoch:
    """The training loss of a module's epoch, logged as the epoch goes on and when it ends."""

    def __init__(self) -> None:
        self._of_steps, self._of_epoch = LossSum(), LossSum()
        """Of the epoch's steps since a loss was last logged, and of all its steps."""
        self._summed: int | None = None
        """Epoch whose sum began with its first batch; several losses where a step of one's own asks for several."""
        self._differentiated: tuple[int, int] | None = None
        """Epoch and batch of the last gradients."""

    def begin_run(self) -> None:
        """Forget where an earlier run stood; sums that :meth:`load` has brought go on."""
        self._summed, self._differentiated = None, None

    def add(self, loss: Tensor, module: LightningModule, batch_idx: int) -> None:
        """Add the loss of a batch, and log the mean of the last steps if the trainer logs the next step.

        Args:
            loss: That gradients are yet to be taken of; a hook on it notes them, since anybody may override a module's.
            module: That logs.
            batch_idx: Place of the batch in its epoch.
        """
        trainer, epoch = cast(Any, module.trainer), module.current_epoch
        if self._differentiated == (epoch, batch_idx):
            return  # an optimiser such as LBFGS asks again, with weights that it tries out
        if loss.requires_grad:
            loss.register_hook(partial(self._note_gradients, epoch, batch_idx))  # type: ignore[no-untyped-call]
        if batch_idx == 0 and self._summed != epoch:
            self._of_steps, self._of_epoch = LossSum(), LossSum()
            self._summed = epoch
        for losses in (self._of_steps, self._of_epoch):
            losses.add(loss.detach())
        if not steps_after(trainer, batch_idx):
            return  # loggers take nothing of a batch without a step
        if (interval := trainer.log_every_n_steps) and (trainer.global_step + 1) % interval == 0:
            module.log(STEP_LOSS, self._of_steps.mean(), sync_dist=True)
            self._of_steps = LossSum()

    def _note_gradients(self, epoch: int, batch_idx: int, *_: Tensor) -> None:
        self._differentiated = (epoch, batch_idx)

    def log(self, module: LightningModule) -> None:
        """Log the mean of the epoch, unless no batch has been trained."""
        if self._of_epoch.steps:
            module.log(EPOCH_LOSS, self._of_epoch.mean(), sync_dist=True)

    def save(self, checkpoint: dict[str, Any]) -> None:
        """Put the sums into a checkpoint, if there are any."""
        if self._of_epoch.steps:
            # Of this process: the others need not be saving too, so they cannot be asked, and theirs are much the same.
            checkpoint[_LOSS_SUMS] = [losses.state() for losses in (self._of_steps, self._of_epoch)]

    def load(self, checkpoint: dict[str, Any]) -> None:
        """Go on from the sums of a checkpoint, if it has any."""
        if _LOSS_SUMS in checkpoint:
            self._of_steps, self._of_epoch = (LossSum(**state) for state in checkpoint[_LOSS_SUMS])

"""Where a job that SLURM puts back into its queue keeps what it goes on from."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer

from lt_lightning.modules.loop_state import steps_after


def folder_of_job(parent: Path) -> Path | None:
    """The folder of this job alone, the same each time that it starts; ``None`` outside a job.

    Under SLURM a Trainer looks into its root folder for what an interrupted run has saved, and begins ``fit`` and
    ``test`` with it, whosever it is. The current folder, which is that otherwise, is one for all jobs.

    Args:
        parent: Of the job's runs.
    """
    if not SLURMEnvironment.detect():
        return None
    return parent / _name()


def _name() -> str:
    return f"slurm_{os.environ.get('SLURM_JOB_ID', 'job')}"


def saved_by_this_job(trainer: Trainer, given: str) -> bool:
    """Whether a job that SLURM has put back finds what it saved itself, with which it is to go on.

    Args:
        trainer: That is to train.
        given: Value of ``--ckpt_path``; a file that is newer goes before, as a script may name the last of all.
    """
    folder = Path(str(trainer.default_root_dir))
    own = int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0 or folder.name == _name()
    since = Path(given).stat().st_mtime if Path(given).is_file() else 0.0
    newer = any(path.stat().st_mtime > since for path in folder.glob("hpc_ckpt_*.ckpt"))
    return SLURMEnvironment.detect() and own and newer


class BetweenBatches(Callback):
    """Have the signal that a job's time is over wait for the end of a batch that ends in a step.

    A Trainer saves where the signal finds it: after a step of the optimizer that no count of batches knows of yet, or
    within one. The job that goes on from there would show the batch twice. Between batches whose gradients are added
    up it would lose those, which no checkpoint holds.
    """

    def __init__(self) -> None:
        self._within = False
        self._waiting: tuple[Any, ...] | None = None
        self._save: Callable[..., Any] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stand before the Trainer's own handler."""
        self._within, self._waiting = False, None
        environment = cast(Any, trainer)._accelerator_connector.cluster_environment
        if not isinstance(environment, SLURMEnvironment) or not environment.auto_requeue:
            return
        number = environment.requeue_signal
        handler = None if number is None else signal.getsignal(number)
        if callable(handler) and threading.current_thread() is threading.main_thread():
            self._save = handler
            signal.signal(cast(int, number), self._note)  # a Trainer puts back what was there before it

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:  # noqa: ARG002
        """From here on a signal waits."""
        self._within = True

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:  # noqa: ARG002
        """Handle what came meanwhile, unless the step is still to come."""
        if steps_after(trainer, args[2]):
            self._handle()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Handle what came in a batch that has no end, since a module skipped the rest of the epoch."""
        self._handle()

    def _handle(self) -> None:
        self._within = False
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            cast(Callable[..., Any], self._save)(*waiting)

    def _note(self, number: int, frame: Any) -> None:
        if self._within:
            self._waiting = number, frame
        else:
            cast(Callable[..., Any], self._save)(number, frame)

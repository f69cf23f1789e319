"""Where a job that SLURM puts back into its queue keeps what it goes on from."""

import hashlib
import json
import os
import signal
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import distributed

from lt_lightning.checkpoints.opening import open_safely
from lt_lightning.errors import UsageError
from lt_lightning.modules.loop_state import run_ends, steps_after
from lt_lightning.records import require_state
from lt_lightning.sigterm import Agreement, any_asked

_RUN = "lt_lightning_run"
"""Where what a job has saved says of which run it is, by :func:`digest_of`."""

_MAY_DIFFER = {
    "config",
    "ckpt_path",
    *(f"trainer.{option}" for option in ("accelerator", "devices", "num_nodes", "strategy")),
    *(f"trainer.{option}" for option in ("default_root_dir", "enable_progress_bar", "logger")),
    *(f"data.init_args.{option}" for option in ("num_workers", "root")),
}
"""What says where a run starts from, on which devices and into which folder, which may be others when it goes on."""


def digest_of(command: str | None, config: Mapping[str, Any]) -> str:
    """Eight digits that tell a job's runs apart, the same each time that the job starts.

    Args:
        command: ``fit``, ``validate``, ``test`` or ``predict``; ``None`` for a stage of a pipeline.
        config: All options of it, as plain values.
    """

    def kept(part: object, start: str) -> object:
        if not isinstance(part, Mapping):
            return part
        return {key: kept(value, f"{start}{key}.") for key, value in part.items() if start + key not in _MAY_DIFFER}

    text = json.dumps([command, kept(config, "")], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def folder_of_job(parent: Path, run: str) -> Path | None:
    """The folder of one of this job's runs, the same each time that it starts; ``None`` outside a job.

    Under SLURM a Trainer looks into its root folder for what an interrupted run has saved, and begins ``fit`` and
    ``test`` with it, whosever it is. The current folder, which is that otherwise, is one for all jobs.

    Args:
        parent: Of the job's runs.
        run: By which the job's runs are told apart.
    """
    return parent / _name() / run if SLURMEnvironment.detect() else None


def _name() -> str:
    return f"slurm_{os.environ.get('SLURM_JOB_ID', 'job')}"


def saved_in(folder: Path) -> list[Path]:
    """What Trainers with this root folder have saved when their job's time was over, the latest last."""
    return sorted(folder.glob("hpc_ckpt_*.ckpt"), key=lambda path: (len(path.name), path.name))


def saved_by_this_job(trainer: Trainer, given: str) -> bool:
    """Whether a job that SLURM has put back finds what it saved itself, with which it is to go on.

    Args:
        trainer: That is to train.
        given: Value of ``--ckpt_path``; a file that is newer goes before, as a script may name the last of all.
    """
    folder = Path(str(trainer.default_root_dir))
    own = int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0 or folder.parent.name == _name()
    since = Path(given).stat().st_mtime if Path(given).is_file() else 0.0
    newer = any(path.stat().st_mtime > since for path in saved_in(folder))
    return SLURMEnvironment.detect() and own and newer


def require_own(trainer: Trainer, run: str) -> None:
    """Refuse to go on with what another run has saved, where Lightning goes on with whatever it finds.

    Args:
        trainer: That is to train from what a job has saved in its root folder, if there is anything.
        run: What is to be trained, by :func:`digest_of`.

    Raises:
        UsageError: If the file is of another run, or holds no state of training.
    """
    if not SLURMEnvironment.detect() or not (found := saved_in(Path(str(trainer.default_root_dir)))):
        return
    path, contents = str(found[-1]), open_safely(found[-1])
    require_state(path, contents)
    if contents.get(_RUN) != run:
        raise UsageError(
            f"{path!r}, saved as a job's time was over, is of a run with other settings, seed, data and length of "
            f"training included; give each run of a job a `--trainer.default_root_dir` of its own, or remove the file "
            f"if it is not needed."
        )


def _run_in(path: Path) -> object:
    """Of which run a file is that a job has saved; ``None`` where it does not say."""
    try:
        return open_safely(path).get(_RUN)
    except UsageError:  # half a file
        return None


def _validates_after(trainer: Trainer, batch_idx: int) -> bool:
    """Whether a validation follows a batch within an epoch, as far as batches tell."""
    every = trainer.val_check_batch
    if every is None or every == float("inf"):  # in minutes, or at the end of an epoch of unknown length
        return False
    of_all = trainer.check_val_every_n_epoch is None
    return ((trainer.fit_loop.total_batch_idx if of_all else batch_idx) + 1) % every == 0


class BetweenBatches(Callback):
    """Have the signal that a job's time is over wait for the end of a batch that ends in a step.

    A Trainer saves where the signal finds it: after a step of the optimizer that no count of batches knows of yet, or
    within one. The job that goes on from there would show the batch twice. Between batches whose gradients are added
    up it would lose those, which no checkpoint holds. After the last batch of an epoch, or within a validation, it
    would leave the validation out, and callbacks that wait for its figures. Several processes save together, or wait
    for each other for ever, so all do after the same step: the next one once they have heard of the signal, which takes
    eight batches at most. Where nothing is trained there is nothing to be saved: from trained weights without the state
    of training the job would begin again.

    Args:
        run: What is trained, by :func:`digest_of`, for the job that goes on.
    """

    def __init__(self, run: str) -> None:
        self.run = run
        self._asked = False
        """Whether this process has got the signal."""
        self._agreed = False
        """Whether all of several know that one has."""
        self._saving = False
        self._has_saved = False
        self._put_back: Callable[..., Any] | None = None
        """The Trainer's own handler, which saves."""
        self._agreement: Agreement | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Begin anew."""
        self._asked = self._agreed = self._has_saved = False
        self._put_back, self._agreement = None, None

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Have the signal wait for the first step."""
        self._stand_before(trainer, self._note)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stand before the Trainer's own handler."""
        self._stand_before(trainer, self._note)
        if self._put_back is not None and trainer.world_size > 1 and distributed.is_initialized():
            self._agreement = Agreement(trainer.strategy.root_device)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:  # noqa: ARG002
        """Handle what came before, unless the step or a validation is still to come or the epoch ends."""
        if self._agreement is not None and not self._agreed:
            self._agreed = self._agreement.reached(self._asked)
        if not self._is_due or not steps_after(trainer, args[2]) or trainer.is_last_batch:
            return
        if not run_ends(trainer) and not _validates_after(trainer, args[2]):
            self._save(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Handle what came in epochs that have no other batch than the last."""
        if trainer.global_step:
            self._agree(trainer)
            if self._is_due:
                self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Ask once more, while processes are still joined."""
        self._agree(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Remove what was saved before, or else the job's next run would begin with it; handle what came at the end."""
        if self._is_due:
            self._save(trainer)
        elif not self._has_saved and SLURMEnvironment.detect() and trainer.is_global_zero:
            for path in saved_in(Path(trainer.default_root_dir)):
                if _run_in(path) == self.run:
                    path.unlink(missing_ok=True)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Put the job back without saving, but for a validation amid training."""
        if trainer.state.fn != "fit":
            self._stand_before(trainer, partial(self._only_put_back, trainer))

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Put the job back without saving."""
        self._stand_before(trainer, partial(self._only_put_back, trainer))

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Put the job back without saving."""
        self._stand_before(trainer, partial(self._only_put_back, trainer))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Note whose state this is, where it is the job's."""
        if not self._saving:
            return
        checkpoint[_RUN] = self.run
        epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]
        for count in (epochs["total"], epochs["current"]):
            count["ready"] = count["started"]  # an epoch that is about to begin would be left out, as if it had ended

    def _stand_before(self, trainer: Trainer, handler: Callable[[int, Any], None]) -> None:
        environment = cast(Any, trainer)._accelerator_connector.cluster_environment
        if not isinstance(environment, SLURMEnvironment) or not environment.auto_requeue:
            return
        number = environment.requeue_signal
        found = None if number is None else signal.getsignal(number)
        if callable(found) and threading.current_thread() is threading.main_thread():
            self._put_back = self._put_back or found
            signal.signal(cast(int, number), handler)  # a Trainer puts back what was there before it

    def _note(self, number: int, frame: Any) -> None:  # noqa: ARG002
        self._asked = True

    @property
    def _is_due(self) -> bool:
        """Whether the job is to be put back, which all processes say alike."""
        return self._asked if self._agreement is None else self._agreed

    def _agree(self, trainer: Trainer) -> None:
        if self._agreement is not None:
            self._agreed = any_asked(self._asked or self._agreed, trainer.strategy.root_device)()

    def _save(self, trainer: Trainer) -> None:
        environment = cast(Any, trainer)._accelerator_connector.cluster_environment
        self._saving = self._has_saved = True
        try:
            cast(Callable[..., Any], self._put_back)(environment.requeue_signal, None)
        finally:
            self._saving = False
        # What came meanwhile has been heeded; what comes later is another signal, as of a job that was not put back.
        self._asked = self._agreed = False
        if self._agreement is not None:  # which may have asked already
            self._agreement = Agreement(trainer.strategy.root_device)

    def _only_put_back(self, trainer: Trainer, number: int, frame: Any) -> None:
        cast(Any, trainer).save_checkpoint = lambda *_: None  # of this Trainer alone, until the handler has returned
        try:
            cast(Callable[..., Any], self._put_back)(number, frame)
        finally:
            del cast(Any, trainer).save_checkpoint

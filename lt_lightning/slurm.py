"""Where a job that SLURM puts back into its queue keeps what it goes on from."""

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import distributed

from lt_lightning.checkpoints.opening import open_safely
from lt_lightning.errors import UsageError
from lt_lightning.modules.loop_state import run_ends, steps_after
from lt_lightning.resuming import require_state
from lt_lightning.sigterm import Agreement, any_asked

_SEED = "lt_lightning_seed"
"""Where what a job has saved says which seed its run has."""


def folder_of_job(parent: Path, seed: object = None) -> Path | None:
    """The folder of this job's runs of a seed, the same each time that it starts; ``None`` outside a job.

    Under SLURM a Trainer looks into its root folder for what an interrupted run has saved, and begins ``fit`` and
    ``test`` with it, whosever it is. The current folder, which is that otherwise, is one for all jobs.

    Args:
        parent: Of the job's runs.
        seed: The run's, as runs of several may follow each other in one job.
    """
    if not SLURMEnvironment.detect():
        return None
    return parent / _name() / f"seed_{seed}"


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


def require_own(trainer: Trainer, module: LightningModule, seed: object) -> None:
    """Refuse to go on with what another run has saved, where Lightning goes on with whatever it finds.

    Args:
        trainer: That is to train from what a job has saved in its root folder, if there is anything.
        module: That is to be trained.
        seed: The run's.

    Raises:
        UsageError: If the seed or the model differs, or the file holds no state of training.
    """
    if not SLURMEnvironment.detect() or not (found := saved_in(Path(str(trainer.default_root_dir)))):
        return
    path = str(found[-1])
    contents = open_safely(found[-1])
    require_state(path, contents)
    advice = "give each run of a job a `--trainer.default_root_dir` of its own, or remove the file if it is not needed"
    if contents.get(_SEED, seed) != seed:
        raise UsageError(
            f"{path!r}, saved as a job's time was over, is of a run with `seed_everything` {contents[_SEED]}, and this "
            f"one has {seed}; {advice}."
        )
    there, here = (dict(one) for one in (contents.get("hyper_parameters", {}), module.hparams))
    differing = [
        key
        for key in here.keys() & there.keys() - {"checkpoint"}  # whose file may have been moved
        if str(there[key]) != str(here[key]) and not key.startswith("_")
    ]
    if there.get("_class_path") != here.get("_class_path") or differing:
        names = ", ".join(f"`model.{key}` {there[key]}, here {here[key]}" for key in sorted(differing)) or "`model`"
        raise UsageError(f"{path!r}, saved as a job's time was over, is of another run ({names}); {advice}.")


def _is_of_this_run(trainer: Trainer) -> bool:
    """Whether what was saved in a Trainer's root folder was of the run that has now come to its end."""
    if not SLURMEnvironment.detect():
        return False
    folder, begun = Path(str(trainer.default_root_dir)), Path(str(trainer.ckpt_path))
    return folder.parent.name == _name() or begun.resolve() in [path.resolve() for path in saved_in(folder)]


class BetweenBatches(Callback):
    """Have the signal that a job's time is over wait for the end of a batch that ends in a step.

    A Trainer saves where the signal finds it: after a step of the optimizer that no count of batches knows of yet, or
    within one. The job that goes on from there would show the batch twice. Between batches whose gradients are added
    up it would lose those, which no checkpoint holds. After the last batch of an epoch, or within a validation, it
    would leave the validation out, and callbacks that wait for its figures. Several processes save together, or wait
    for each other for ever, so all do after the same step. Where nothing is trained there is nothing to be saved: from
    trained weights without the state of training the job would begin again.

    Args:
        seed: The run's, for the job that goes on.
    """

    def __init__(self, seed: object = None) -> None:
        self.seed = seed
        self._asked = False
        self._saving = False
        self._has_saved = False
        self._put_back: Callable[..., Any] | None = None
        """The Trainer's own handler, which saves."""
        self._agreement: Agreement | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Begin anew."""
        self._asked, self._has_saved, self._put_back, self._agreement = False, False, None, None

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Have the signal wait for the first step."""
        self._stand_before(trainer, self._note)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stand before the Trainer's own handler."""
        self._stand_before(trainer, self._note)
        if self._put_back is not None and trainer.world_size > 1 and distributed.is_initialized():
            self._agreement = Agreement(trainer.strategy.root_device)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:  # noqa: ARG002
        """Handle what came before, unless the step is still to come or the epoch ends."""
        if self._has_saved or not steps_after(trainer, args[2]) or trainer.is_last_batch or run_ends(trainer):
            return
        if self._asked if self._agreement is None else self._agreement.reached(self._asked):
            self._save(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Handle what came in epochs that have no other batch than the last."""
        if trainer.global_step and self._any_asked(trainer):
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Ask once more, while processes are still joined."""
        self._asked = self._any_asked(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Remove what was saved before, or else the job's next run would begin with it; handle what came at the end."""
        if self._asked:
            self._save(trainer)
        elif not self._has_saved and _is_of_this_run(trainer) and trainer.is_global_zero:
            for path in saved_in(Path(trainer.default_root_dir)):
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
        checkpoint[_SEED] = self.seed
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

    def _any_asked(self, trainer: Trainer) -> bool:
        if self._has_saved or self._agreement is None:  # the signal may come to other processes after that
            return self._asked and not self._has_saved
        return any_asked(self._asked, trainer.strategy.root_device)()

    def _save(self, trainer: Trainer) -> None:
        environment = cast(Any, trainer)._accelerator_connector.cluster_environment
        self._asked, self._saving, self._has_saved = False, True, True
        try:
            cast(Callable[..., Any], self._put_back)(environment.requeue_signal, None)
        finally:
            self._saving = False

    def _only_put_back(self, trainer: Trainer, number: int, frame: Any) -> None:
        cast(Any, trainer).save_checkpoint = lambda *_: None  # of this Trainer alone, until the handler has returned
        try:
            cast(Callable[..., Any], self._put_back)(number, frame)
        finally:
            del cast(Any, trainer).save_checkpoint

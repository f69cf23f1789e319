"""Signals of schedulers: SIGTERM, by which training ends, and the one at which SLURM puts a job back into its queue."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import distributed

from lt_lightning.errors import UsageError
from lt_lightning.interruption import came_after_sigterm, unwind, with_causes
from lt_lightning.modules.loop_state import run_ends, steps_after
from lt_lightning.same_run import RUN
from lt_lightning.slurm import put_back, run_in, saved_in

BATCHES = 4
"""Processes ask each other once in so many batches, and hear the answer as many later."""

_SAVE, _END = 0, 1
"""What a process is asked to do: to save and put its job back, or to end."""


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Have SIGTERM end a command as Ctrl-C does.

    A Trainer notes the signal and stops after the batch; what it then raises would leave with status 0, and a scheduler
    would call the job done.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, UsageError) or not any(isinstance(one, SIGTERMException) for one in with_causes(error)):
            raise
        raise KeyboardInterrupt from error


@contextmanager
def jobs_put_back(ends_with_fit: bool = False) -> Iterator[None]:
    """Have a job whose time is over put back into SLURM's queue also before, between and after the runs of Trainers.

    A Trainer heeds the signal while it trains or evaluates; elsewhere it would end the process, and the job with it.

    Args:
        ends_with_fit: Whether all is done when training has ended well; a signal then means nothing.
    """
    # Under torchrun a Trainer puts no job back, and a handler of somebody else's is left alone.
    of_job = "SLURM_NTASKS" in os.environ and SLURMEnvironment.detect() and not TorchElasticEnvironment.detect()
    in_main = threading.current_thread() is threading.main_thread()
    if not of_job or not in_main or _TIME_IS_OVER is None or signal.getsignal(_TIME_IS_OVER) is not signal.SIG_DFL:
        yield
        return
    signal.signal(_TIME_IS_OVER, PutsBack(ends_with_fit))
    try:
        yield
    finally:
        signal.signal(_TIME_IS_OVER, signal.SIG_DFL)


_TIME_IS_OVER: Any = getattr(signal, "SIGUSR1", None)
"""What SLURM sends to a job whose time is over; Windows has no such signal."""


class PutsBack:
    """Handler of a command, which puts its job back at once.

    Args:
        ends_with_fit: See :func:`jobs_put_back`.
    """

    def __init__(self, ends_with_fit: bool) -> None:
        self.ends_with_fit = ends_with_fit
        self.instead: Callable[[int, Any], None] | None = None
        """What is done while training has something to save."""

    def __call__(self, number: int, frame: Any) -> None:
        """Do the one or the other."""
        (self.instead or put_back)(number, frame)


class Signals(Callback):
    """Save or end between batches, in several processes after the same one, whichever of them got the signal.

    Args:
        run: What is trained, by :func:`digest_of`, for the job that goes on.
        seeded: Whether a run of the same options gives the same weights.
    """

    def __init__(self, run: str, seeded: bool = True) -> None:
        self.run = run
        self.seeded = seeded
        self._saving = False
        self._begin_anew()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Forget an earlier run; from here on a command's handler notes what comes, for the first step."""
        self._begin_anew()
        handler = signal.getsignal(_TIME_IS_OVER) if _TIME_IS_OVER is not None else None
        if isinstance(handler, PutsBack):
            if _signal_of(trainer) != _TIME_IS_OVER:
                signal.signal(_TIME_IS_OVER, signal.SIG_DFL)  # this Trainer puts its job back at another one, or not
            elif stage == "fit":
                self._stand_before(trainer, partial(self._note, _SAVE))

    def _begin_anew(self) -> None:
        self._asked = [False, False]
        """What signals have asked of this process."""
        self._agreed = [False, False]
        """What all of several processes know that one was asked."""
        self._agreement: Agreement | None = None
        self._put_back: Callable[..., Any] | None = None
        """The Trainer's own handler, which saves and puts the job back."""
        self._has_saved = False

    # A Trainer would save wherever the signal finds it: within a batch, which would be shown twice; between batches of
    # one step, whose gradients no checkpoint holds; or within a validation, which would be left out.

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Have a job's signal wait for the first step."""
        self._stand_before(trainer, partial(self._note, _SAVE))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Note signals from here on."""
        self._stand_before(trainer, partial(self._note, _SAVE))
        if trainer.world_size == 1 or not distributed.is_initialized():
            return  # SIGTERM ends one process as Lightning has it
        self._agreement = Agreement(trainer.strategy.root_device)
        # Lightning's first process tells the others in every batch and waits for its device; a signal that comes in the
        # meantime is taken for another message, and all wait for ever.
        cast(Any, trainer.fit_loop.epoch_loop)._broadcast_sigterm_tensor = self._end_if_agreed
        _on_sigterm(partial(self._note, _END))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:  # noqa: ARG002
        """Save, unless the step or a validation is still to come or the epoch ends."""
        if self._agreement is not None:
            self._agree(self._agreement.reached(self._asked))
        if not self._is_due or not steps_after(trainer, args[2]) or trainer.is_last_batch:
            return
        if not run_ends(trainer) and not _validates_after(trainer, args[2]):
            self._save(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Save what waited for the last epoch's end."""
        if trainer.global_step and self._put_back is not None:
            self._ask(trainer)
            if self._is_due:
                self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Ask once more, while processes are still joined."""
        if self._agreement is not None:
            self._ask(trainer)
            self._end_if_agreed()
        _unwind_from_here(trainer)  # a Trainer would note it and go on

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Save what came at the end; remove what was saved before, or else the job's next run would begin with it."""
        self._ask(trainer)  # of what came since training ended, too
        if self._is_due and (self._agreement is not None or trainer.world_size == 1):  # else there was nothing to train
            self._save(trainer)
        elif not self._has_saved and SLURMEnvironment.detect() and trainer.is_global_zero:
            for path in saved_in(Path(trainer.default_root_dir)):
                if run_in(path) == self.run:
                    path.unlink(missing_ok=True)
        if (handler := _handler_of_command(trainer)) is not None:
            handler.instead = _ignored if handler.ends_with_fit else None

    # Evaluation has nothing to lose: it ends at once. Nor is anything saved, as training would begin again from weights
    # without its state.

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Heed signals at once, but for a validation amid training."""
        if trainer.state.fn != "fit":
            self._heed_at_once(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Heed signals at once."""
        self._heed_at_once(trainer)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Heed signals at once."""
        self._heed_at_once(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """Tell an error of a process that was asked to end, as its workers may have been, from others.

        Nothing is to be saved any more.
        """
        if (handler := _handler_of_command(trainer)) is not None:
            handler.instead = None
        if trainer.received_sigterm or self._asked[_END]:
            came_after_sigterm(exception)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Note whose state this is; what is saved amid an epoch is to go on with that epoch."""
        if self._saving or self.seeded:
            checkpoint[RUN] = self.run
        if not self._saving:
            return
        epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]
        for count in (epochs["total"], epochs["current"]):
            count["ready"] = count["started"]  # an epoch that is about to begin would be left out, as if it had ended

    def _heed_at_once(self, trainer: Trainer) -> None:
        _unwind_from_here(trainer)
        self._stand_before(trainer, put_back)

    def _stand_before(self, trainer: Trainer, handler: Callable[[int, Any], None]) -> None:
        number = _signal_of(trainer)
        found = None if number is None else signal.getsignal(number)
        if isinstance(found, PutsBack):  # beside which a Trainer registers none of its own
            self._put_back = cast(Any, trainer)._signal_connector._slurm_sigusr_handler_fn
            found.instead = handler
        elif callable(found) and threading.current_thread() is threading.main_thread():
            self._put_back = self._put_back or found
            signal.signal(cast(int, number), handler)  # a Trainer puts back what was there before it

    def _note(self, what: int, number: int, frame: Any) -> None:  # noqa: ARG002
        self._asked[what] = True

    @property
    def _is_due(self) -> bool:
        """Whether the job is to be put back, which all processes say alike."""
        return self._asked[_SAVE] if self._agreement is None else self._agreed[_SAVE]

    def _ask(self, trainer: Trainer) -> None:
        if self._agreement is not None:
            self._agree(any_asked(self._asked, trainer.strategy.root_device)())

    def _agree(self, answer: Sequence[bool]) -> None:
        self._agreed = [before or now for before, now in zip(self._agreed, answer, strict=True)]

    def _end_if_agreed(self) -> None:
        if self._agreed[_END]:
            raise SIGTERMException

    def _save(self, trainer: Trainer) -> None:
        self._saving = self._has_saved = True
        try:
            cast(Callable[..., Any], self._put_back)(_signal_of(trainer), None)
        finally:
            self._saving = False
        # What came meanwhile has been heeded; what comes later is another signal, as of a job that was not put back.
        self._asked[_SAVE] = self._agreed[_SAVE] = False
        if self._agreement is not None:  # which may have asked already
            self._agreement = Agreement(trainer.strategy.root_device)


class Agreement:
    """What any of several processes was asked, which all of them learn at the same place.

    Args:
        device: Of this process.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._batches = 0
        self._answer: Callable[[], list[bool]] | None = None

    def reached(self, asked: Sequence[bool]) -> list[bool]:
        """What any was asked by the last round of questions; all processes are to call this equally often.

        Args:
            asked: What this process was.
        """
        self._batches += 1
        if self._batches % BATCHES:
            return [False] * len(asked)
        answer = [False] * len(asked) if self._answer is None else self._answer()
        self._answer = any_asked(asked, self._device)
        return answer


def any_asked(asked: Sequence[bool], device: torch.device) -> Callable[[], list[bool]]:
    """Ask all processes what any of them was asked, without waiting for the device.

    Args:
        asked: What this one was.
        device: Of this process.

    Returns:
        The answer, to be called for when it has come.
    """
    flags = torch.stack([torch.full((), int(one), device=device) for one in asked])
    distributed.all_reduce(flags, op=distributed.ReduceOp.MAX)
    if device.type != "cuda":
        return lambda: [bool(flag) for flag in flags.tolist()]
    answer = torch.empty(len(asked), dtype=flags.dtype, pin_memory=True)
    answer.copy_(flags, non_blocking=True)
    copied = cast(Any, torch.cuda).Event()
    copied.record()

    def wait() -> list[bool]:
        copied.synchronize()
        return [bool(flag) for flag in answer.tolist()]

    return wait


def _validates_after(trainer: Trainer, batch_idx: int) -> bool:
    """Whether a validation follows a batch within an epoch, as far as batches tell."""
    every = trainer.val_check_batch
    if every is None or every == float("inf"):  # in minutes, or at the end of an epoch of unknown length
        return False
    of_all = trainer.check_val_every_n_epoch is None
    return ((trainer.fit_loop.total_batch_idx if of_all else batch_idx) + 1) % every == 0


def _signal_of(trainer: Trainer) -> int | None:
    """At which a Trainer puts its job back, if it does."""
    environment = cast(Any, trainer)._accelerator_connector.cluster_environment
    puts_back = isinstance(environment, SLURMEnvironment) and environment.auto_requeue
    return cast(int | None, environment.requeue_signal) if puts_back else None


def _handler_of_command(trainer: Trainer) -> PutsBack | None:
    """The handler of :func:`jobs_put_back`, if there is one for this Trainer."""
    number = _signal_of(trainer)
    found = None if number is None else signal.getsignal(number)
    return found if isinstance(found, PutsBack) else None


def _ignored(*_: object) -> None:
    """What is done of a signal after all that was to be done."""


def _unwind_from_here(trainer: Trainer) -> None:
    """Have SIGTERM end what goes on at once, also if it came just before, which the Trainer asks nobody about."""
    _on_sigterm(unwind)
    if trainer.received_sigterm:
        raise KeyboardInterrupt


def _on_sigterm(handler: Callable[[int, Any], None]) -> None:
    """Have a handler for as long as the Trainer runs, which puts back at its end what was there before."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)

"""SIGTERM, as schedulers send it: training ends after a batch, in all processes after the same one."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import distributed

from lt_lightning.interruption import unwind

BATCHES = 4
"""Processes ask each other once in so many batches, and hear the answer as many later."""


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Have SIGTERM end a command as Ctrl-C does.

    A Trainer notes the signal and stops after the batch; what it then raises would leave with status 0, and a scheduler
    would call the job done.
    """
    try:
        yield
    except SIGTERMException as error:
        raise KeyboardInterrupt from error


class Agreement:
    """Whether any of several processes was asked to end, which all of them learn at the same place.

    Args:
        device: Of this process.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._batches = 0
        self._answer: Callable[[], bool] | None = None

    def reached(self, asked: bool) -> bool:
        """Whether any was asked by the last round of questions; all processes are to call this equally often.

        Args:
            asked: Whether this process was.
        """
        self._batches += 1
        if self._batches % BATCHES:
            return False
        if self._answer is not None and self._answer():
            self._answer = None
            return True
        self._answer = any_asked(asked, self._device)
        return False


class EndsTogether(Callback):
    """Have processes that train together end together, whichever of them got the signal.

    Lightning's first process tells the others in every batch, and waits for its device to do so, which costs a GPU its
    queue of work. What comes in its handler meanwhile is taken for another message, and all wait for ever. One process
    that trains alone ends as Lightning has it; of one that evaluates Lightning would note the signal and go on.
    """

    def __init__(self) -> None:
        self._asked = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stand in the place of the Trainer's way."""
        if trainer.world_size == 1 or not distributed.is_initialized():
            return
        self._asked, agreement = False, Agreement(trainer.strategy.root_device)

        def before_batch() -> None:
            if agreement.reached(self._asked):
                raise SIGTERMException

        cast(Any, trainer.fit_loop.epoch_loop)._broadcast_sigterm_tensor = before_batch
        _on_sigterm(self._note)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Heed what came in the last batches."""
        if trainer.world_size > 1 and distributed.is_initialized():
            if any_asked(self._asked, trainer.strategy.root_device)():
                raise SIGTERMException
            _on_sigterm(unwind)

    # Whoever evaluates has nothing to lose.

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Leave at once, but for a validation amid training."""
        if trainer.state.fn != "fit":
            _on_sigterm(unwind)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Leave at once."""
        _on_sigterm(unwind)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Leave at once."""
        _on_sigterm(unwind)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._asked = True


def any_asked(asked: bool, device: torch.device) -> Callable[[], bool]:
    """Ask all processes whether one was asked to end, without waiting for the device.

    Args:
        asked: Whether this one was.
        device: Of this process.

    Returns:
        The answer, to be called for when it has come.
    """
    flag = torch.full((1,), int(asked), device=device)
    distributed.all_reduce(flag, op=distributed.ReduceOp.MAX)
    if device.type != "cuda":
        return lambda: bool(flag.item())
    answer = torch.empty(1, dtype=flag.dtype, pin_memory=True)
    answer.copy_(flag, non_blocking=True)
    copied = cast(Any, torch.cuda).Event()
    copied.record()

    def wait() -> bool:
        copied.synchronize()
        return bool(answer.item())

    return wait


def _on_sigterm(handler: Callable[[int, FrameType | None], None]) -> None:
    """Have a handler for as long as the Trainer runs, which puts back at its end what was there before."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)

"""A command that is interrupted, or refused something by the system, ends with a sentence.

Whatever it was doing has cleaned up behind itself by then.
"""

import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from subprocess import Popen, TimeoutExpired
from types import FrameType
from typing import Any

from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver

from lt_lightning.errors import UsageError, refusal


@contextmanager
def interruptible(remains: str | Callable[[], str], on_sigterm: bool = True) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM, as schedulers send it, and a full disk and the like, into one sentence.

    SIGTERM alone would end the process at once, with drafts of files left behind; here it unwinds as Ctrl-C does. A
    worker process that SIGTERM has ended counts as well: schedulers send it to all processes at once. And where one of
    several processes has ended, all that the others hear of it is a connection that is no more.

    Args:
        remains: What the interruption leaves and what to do, the second half of the sentence; or what tells it by then.
        on_sigterm: Whether SIGTERM is taken care of here; a Trainer that runs for long has a way of its own.

    Raises:
        UsageError: If the process is interrupted within, another one of the run ends, or the system refuses something.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    owns_signals = threading.current_thread() is threading.main_thread()
    if owns_signals and on_sigterm:
        signal.signal(signal.SIGTERM, unwind)
    try:
        with _unwatched_if_it_fails():
            yield
    except KeyboardInterrupt as error:
        # Loaders in the frames' variables let go of their workers: none is to end later, when that is heard again.
        traceback.clear_frames(error.__traceback__)
        raise UsageError(f"Interrupted: {_text(remains)}") from error
    except SystemExit as error:  # what a Trainer makes of it
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        raise UsageError(f"Interrupted: {_text(remains)}") from error
    except RuntimeError as error:  # what torch makes of another process's end
        if _tells_of_sigterm(error):
            raise UsageError(f"Interrupted: {_text(remains)}") from error
        if _tells_of_lost_process(str(error)):
            raise UsageError(
                f"Another process of this run has ended, by an error that it tells of itself or, as where memory is "
                f"short, by a signal: {_text(remains)}"
            ) from error
        raise
    except OSError as error:
        refused = refusal(error)
        if refused is None:
            raise
        said = _text(remains)
        raise UsageError(f"{refused}. {said[0].upper()}{said[1:]}") from error
    finally:
        if owns_signals:
            for number, handler in before.items():  # a Trainer leaves Ctrl-C without effect
                signal.signal(number, handler)
            _hear_of_children()


@contextmanager
def _unwatched_if_it_fails() -> Iterator[None]:
    """End the processes that Lightning has started from this one when this one is to end.

    Lightning's watch over them looks every five seconds. It would then end this process by a signal too, if that has
    not come to its sentence and status by itself. After an error the others get as long to tell of theirs, which may be
    the cause of it; they may as well wait for this process for ever.
    """
    try:
        yield
    except BaseException as error:
        started: list[Popen[bytes]] = []
        for thread in threading.enumerate():
            if isinstance(thread, _ChildProcessObserver):
                started += thread._child_processes
                thread._child_processes = []
        end = time.monotonic() + (_GRACE if isinstance(error, Exception) else 0)
        for process in started:
            with suppress(TimeoutExpired):
                process.wait(max(end - time.monotonic(), 0))
            process.kill()
        raise


_GRACE = 5.0
"""Seconds."""


def _tells_of_lost_process(said: str) -> bool:
    """Whether this is what Gloo or NCCL says where another process of the run is gone."""
    closed = "Connection reset by peer" in said or "Connection closed by peer" in said
    return (closed and "gloo/transport" in said) or ("NCCL error" in said and "remote process exited" in said)


def _text(remains: str | Callable[[], str]) -> str:
    return remains if isinstance(remains, str) else remains()


def unwind(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """A handler of signals that does what Ctrl-C does.

    From here on a child's end raises nothing: torch would have the end of a worker, which the signal reaches too, break
    into the clearing up.
    """
    found = signal.getsignal(_CHILD) if _CHILD is not None else None
    if callable(found):
        signal.signal(_CHILD, _Unheard(found))
    raise KeyboardInterrupt


_CHILD: Any = getattr(signal, "SIGCHLD", None)
"""By which a process hears that a child has ended; Windows has none."""


@dataclass(frozen=True)
class _Unheard:
    """Stands in for a handler."""

    handler: Any

    def __call__(self, number: int, frame: FrameType | None) -> None:
        pass


def _hear_of_children() -> None:
    found = signal.getsignal(_CHILD) if _CHILD is not None else None
    while isinstance(found, _Unheard):
        found = found.handler
        signal.signal(_CHILD, found)


def came_after_sigterm(error: BaseException) -> None:
    """Have :func:`interruptible` know that this process had got SIGTERM when an error came.

    A worker that it has ended then is one that the signal has ended, also where torch does not hear why: a Trainer puts
    the handler of children's ends back to what it was, and torch sets its own once in a process.
    """
    error.__dict__[_MARK] = True


_MARK = "_lt_lightning_after_sigterm"


def _tells_of_sigterm(error: BaseException | None) -> bool:
    signalled = False
    while error is not None:
        signalled = signalled or _MARK in error.__dict__
        said = str(error)
        ended = "killed by signal: Terminated" in said or (signalled and "exited unexpectedly" in said)
        if "DataLoader worker" in said and ended:
            return True
        error = error.__cause__ or error.__context__
    return False

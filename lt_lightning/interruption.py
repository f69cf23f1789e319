"""A command that is interrupted, or refused something by the system, ends with a sentence.

Whatever it was doing has cleaned up behind itself by then.
"""

import errno
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from subprocess import Popen, TimeoutExpired
from types import FrameType
from typing import Any

from lt_lightning.errors import UsageError, refusal


@contextmanager
def interruptible(remains: str | Callable[[], str], *batch_sizes: str) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM, as schedulers send it, and a full disk, memory and the like, into one sentence.

    SIGTERM alone would end the process at once, with drafts of files left behind; here it unwinds as Ctrl-C does, but
    within a Trainer's run, which has a way of its own. A worker process that SIGTERM has ended counts as well:
    schedulers send it to all processes at once. And where one of several processes has ended, all that the others hear
    of it is a connection that is no more.

    Args:
        remains: What the interruption leaves and what to do, the second half of the sentence; or what tells it by then.
        batch_sizes: The options by which most of the memory goes, where there are such.

    Raises:
        UsageError: If the process is interrupted within, another one of the run ends, or the system refuses something.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    owns_signals = threading.current_thread() is threading.main_thread()
    if owns_signals:
        signal.signal(signal.SIGTERM, unwind)
    try:
        with _unwatched_if_it_fails():
            yield
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            # Loaders in the frames' variables let go of their workers: none is to end later, when that is heard again.
            traceback.clear_frames(error.__traceback__)
        sentence = _sentence(error, remains, batch_sizes)
        if sentence is None:
            raise
        raise UsageError(sentence) from error
    finally:
        if owns_signals:
            for number, handler in before.items():  # a Trainer leaves Ctrl-C without effect
                signal.signal(number, handler)
            _hear_of_children()


def _sentence(error: BaseException, remains: str | Callable[[], str], batch_sizes: Sequence[str]) -> str | None:
    """What is said of an error; ``None`` if it says so itself, or may be a mistake in code."""
    if isinstance(error, UsageError):
        return None
    if _tells_of_interruption(error):
        return f"Interrupted: {_text(remains)}"
    if isinstance(error, RuntimeError) and _tells_of_lost_process(str(error)):  # what torch makes of its end
        return (
            f"Another process of this run has ended, by an error that it tells of itself or, as where memory is "
            f"short, by a signal: {_text(remains)}"
        )
    refused = _refusal(error, batch_sizes)
    if refused is None:
        return None
    said = _text(remains)
    return f"{refused}. {said[0].upper()}{said[1:]}"


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
        try:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, unwind)  # a Trainer that fails may leave its own
            for watch in _watches():
                started += watch._child_processes
                watch._child_processes = []
            may_tell = isinstance(error, Exception) and not _tells_of_interruption(error)
            end = time.monotonic() + (_GRACE if may_tell else 0)
            for process in started:
                with suppress(TimeoutExpired):
                    process.wait(max(end - time.monotonic(), 0))
        except KeyboardInterrupt:  # who is asked to hurry has still the first error to tell
            pass
        finally:
            for process in started:
                process.kill()
        raise


def _watches() -> list[Any]:
    """Threads of Lightning's that watch over processes. It is not imported for them: ``report`` does without."""
    launcher = sys.modules.get("lightning.fabric.strategies.launchers.subprocess_script")
    if launcher is None:
        return []
    return [thread for thread in threading.enumerate() if isinstance(thread, launcher._ChildProcessObserver)]


_GRACE = 5.0
"""Seconds."""


def _tells_of_lost_process(said: str) -> bool:
    """Whether this is what Gloo or NCCL says where another process of the run is gone."""
    closed = "Connection reset by peer" in said or "Connection closed by peer" in said
    return (closed and "gloo/transport" in said) or ("NCCL error" in said and "remote process exited" in said)


def _refusal(error: BaseException, batch_sizes: Sequence[str]) -> str | None:
    """What the system has refused, also where torch or Python tells of it in an error of another kind."""
    where = _short_memory(error)
    if where is not None:
        named = " or ".join(f"`{option}`" for option in batch_sizes)
        return f"{where} is short; {f'take a smaller {named}, or ' if named else ''}ask for more"
    if isinstance(error, RuntimeError):
        for said, number in _SAID_OTHERWISE.items():
            if re.search(said, str(error)):
                return refusal(OSError(number, os.strerror(number)).with_traceback(error.__traceback__))
    return refusal(error) if isinstance(error, OSError) else None


_SAID_OTHERWISE = {
    "^Too many open files": errno.EMFILE,
    "^can't start new thread": errno.EAGAIN,
    r": Cannot allocate memory \(12\)": errno.ENOMEM,
}
"""What a RuntimeError says that tells of what the system has refused, by torch and by Python, with its number."""


def _short_memory(error: BaseException) -> str | None:
    """Which memory is short; ``None`` if this is another error."""
    torch = sys.modules.get("torch")  # not imported for this: `report` does without
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return "The GPU's memory"
    if isinstance(error, RuntimeError) and str(error).startswith(_OF_GPU_MEMORY):
        return "The GPU's memory"
    on_cpu = isinstance(error, RuntimeError) and any(said in str(error) for said in _OF_CPU_MEMORY)
    return "Memory" if on_cpu or isinstance(error, MemoryError) else None


_OF_GPU_MEMORY = "CUDA error: out of memory"
"""What torch says in a RuntimeError of what it has not asked for itself."""
_OF_CPU_MEMORY = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")
"""What torch says in a RuntimeError; the latter on Windows."""


def _text(remains: str | Callable[[], str]) -> str:
    return remains if isinstance(remains, str) else remains()


def unwind(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """A handler of signals that does what Ctrl-C does; nothing where a Trainer's own calls it and notes the signal.

    From here on a child's end raises nothing: torch would have the end of a worker, which the signal reaches too, break
    into the clearing up.
    """
    if signal.getsignal(number) is not unwind:
        return
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


def _tells_of_interruption(error: BaseException) -> bool:
    """Whether this is Ctrl-C, what came of it as things were cleared up, or the end of a worker by SIGTERM."""
    return any(isinstance(one, KeyboardInterrupt) for one in with_causes(error)) or _tells_of_sigterm(error)


def _tells_of_sigterm(error: BaseException) -> bool:
    signalled = False
    for one in with_causes(error):
        signalled = signalled or _MARK in one.__dict__
        said = str(one)
        ended = "killed by signal: Terminated" in said or (signalled and "exited unexpectedly" in said)
        if "DataLoader worker" in said and ended:
            return True
    return False


def with_causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and those before it in whose handling it came, the latest first; each once, as they may form a ring."""
    found: BaseException | None = error
    seen: list[BaseException] = []
    while found is not None and not any(found is one for one in seen):
        yield found
        seen.append(found)
        found = found.__cause__ or found.__context__

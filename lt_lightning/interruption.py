"""A command that is interrupted, or refused something by the system, ends with a sentence.

Whatever it was doing has cleaned up behind itself by then.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from lt_lightning.errors import UsageError, refusal


@contextmanager
def interruptible(remains: str, on_sigterm: bool = True) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM, as schedulers send it, and a full disk and the like, into one sentence.

    SIGTERM alone would end the process at once, with drafts of files left behind; here it unwinds as Ctrl-C does.

    Args:
        remains: What the interruption leaves and what to do, the second half of the sentence.
        on_sigterm: Whether SIGTERM is taken care of here; a Trainer that runs for long has a way of its own.

    Raises:
        UsageError: If the process is interrupted within, or the system refuses it something.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    owns_signals = threading.current_thread() is threading.main_thread()
    if owns_signals and on_sigterm:
        signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    except KeyboardInterrupt as error:
        raise UsageError(f"Interrupted: {remains}") from error
    except SystemExit as error:  # what a Trainer makes of it
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        raise UsageError(f"Interrupted: {remains}") from error
    except OSError as error:
        refused = refusal(error)
        if refused is None:
            raise
        raise UsageError(f"{refused}. {remains[0].upper()}{remains[1:]}") from error
    finally:
        if owns_signals:
            for number, handler in before.items():  # a Trainer leaves Ctrl-C without effect
                signal.signal(number, handler)


def unwind(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """A handler of signals that does what Ctrl-C does."""
    raise KeyboardInterrupt

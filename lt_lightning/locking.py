"""Locks on files, for work that processes with the same files should not do at once."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from lt_lightning.processes import is_first

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
"""What a file system says that knows no locks, as on some clusters."""
_SHORT = 1
"""Seconds of waiting that need no explanation: processes of one command wait for each other."""


class NoLocksError(OSError):
    """A file system knows no locks."""


def file_lock(path: Path) -> BaseFileLock:
    """A lock that ends with its process, however that ends.

    Without locks filelock would by default take the file itself for one, and that of a dead machine is never removed.
    """
    return FileLock(path, fallback_to_soft=False)


def try_to_hold(lock: BaseFileLock, seconds: float = 0) -> bool:
    """Hold a lock unless another process does.

    Args:
        lock: Of :func:`file_lock`.
        seconds: How long to wait for the other.

    Returns:
        Whether it is held.

    Raises:
        NoLocksError: If there are no locks where its file is.
        OSError: If its file cannot be made.
    """
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise NoLocksError(error.errno, error.strerror) from error
        raise
    return True


def wait_to_hold(lock: BaseFileLock, what: str) -> None:
    """Hold a lock, and say so where another process has to be waited for.

    Args:
        lock: Of :func:`file_lock`.
        what: What the other process does, behind "that".

    Raises:
        NoLocksError: If there are no locks where its file is.
        OSError: If its file cannot be made.
    """
    if not try_to_hold(lock, _SHORT):
        if is_first():
            remedy = f"if none runs any more, remove {lock.lock_file}"
            print(f"waiting for another process that {what}; {remedy}", flush=True)
        lock.acquire()


@contextmanager
def locked_if_possible(path: Path) -> Iterator[None]:
    """Wait for whoever holds a lock file, then hold it.

    Where there can be none, in a folder that takes no files or on a file system without locks, nobody waits.

    Args:
        path: The lock file; its folder is made if need be.
    """
    lock = file_lock(path)
    with suppress(OSError, RuntimeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        wait_to_hold(lock, "works on the same files")
    try:
        yield
    finally:
        lock.release()

"""Work that processes with the same files should not do at once."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock


@contextmanager
def locked_if_possible(path: Path) -> Iterator[None]:
    """Wait for whoever holds a lock file, then hold it.

    Where there can be none, in a folder that takes no files or on a file system without locks, nobody waits.

    Args:
        path: The lock file; its folder is made if need be.
    """
    lock = FileLock(path)
    with suppress(OSError, RuntimeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()

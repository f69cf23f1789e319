"""A disk without room."""

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path

import pytest


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As a full disk: whoever writes more bytes to a file is refused it."""
    resource = pytest.importorskip("resource")  # Windows has none
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def output_without_room() -> Iterator[None]:
    """As a log on a full disk: whoever prints a line is refused it."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no such device")
    file = full.open("w", buffering=1, encoding="utf-8")
    try:
        with redirect_stdout(file):
            yield
    finally:
        with suppress(OSError):  # it would write the line again
            file.close()

"""Writing a file of weights whole or not at all, and never over another."""

import shutil
from collections.abc import Callable
from pathlib import Path

from lt_lightning.drafts import draft_of, put_in_place
from lt_lightning.errors import UsageError


class UnwritableError(UsageError):
    """A file that cannot be written where it was asked for, whatever it would have held."""


def write_new(path: Path, size: int, write: Callable[[Path], None]) -> None:
    """Have a file written under another name, then give it its own.

    Args:
        path: A file that there is not; its folder is made if need be.
        size: About how many bytes there will be.
        write: Writes the file that it is given.

    Raises:
        UnwritableError: If there is a file, no room, or no right to write. Nothing is left behind then.
    """
    if path.exists():
        raise _taken(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
        if size > free:
            raise UnwritableError(
                f"`output` {str(path)!r} needs {size / 1e6:.3g} MB, but {free / 1e6:.3g} MB are free; make room or "
                f"choose another folder."
            )
        with draft_of(path) as draft:
            write(draft)
            if not put_in_place(draft, path):
                raise _taken(path)
    except (OSError, RuntimeError) as error:  # torch raises the latter where a disk is full
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UnwritableError(
            f"`output` {str(path)!r} cannot be written ({reason}); make room or choose another folder."
        ) from error


def _taken(path: Path) -> UnwritableError:
    return UnwritableError(f"`output` {str(path)!r} exists, and no file is written over; give another name.")

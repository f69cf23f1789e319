"""Writing a file of weights whole or not at all, and never over another."""

import shutil
from collections.abc import Callable
from pathlib import Path

from lt_lightning.drafts import UnwritableError, new_file


def write_new(path: Path, size: int, write: Callable[[Path], None]) -> None:
    """Have a file written under another name, then give it its own.

    Args:
        path: A file that there is not; its folder is made if need be.
        size: About how many bytes there will be.
        write: Writes the file that it is given.

    Raises:
        UnwritableError: If there is a file, no room, or no right to write. Nothing is left behind then.
    """
    with new_file(path, "output") as draft:
        free = shutil.disk_usage(path.parent).free
        if size > free:
            raise UnwritableError(
                f"`output` {str(path)!r} needs {size / 1e6:.3g} MB, but {free / 1e6:.3g} MB are free; make room or "
                f"choose another folder."
            )
        try:
            write(draft)
        except RuntimeError as error:  # torch's, where a disk is full
            raise OSError(str(error)) from error

"""The folder of a comparison: all of its results, or none."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lt_lightning.checkpoints import UnwritableError
from lt_lightning.comparing.outcome import Comparison
from lt_lightning.comparing.record import write
from lt_lightning.comparing.saving import keep_runs, keep_winner
from lt_lightning.comparing.settings import Plain
from lt_lightning.drafts import write_text
from lt_lightning.errors import UsageError
from lt_lightning.results import claim_folder
from lt_lightning.wording import human


def write_all(
    found: Comparison, output: Path, config: str, backbone: str | Plain, with_runs: bool = False
) -> Iterator[str]:
    """Write a comparison into a new ``version_K``: its configuration and results, then its checkpoints.

    Args:
        found: What :func:`compare` returned.
        output: Folder of the new one; made if need be.
        config: Text of ``config.yaml``.
        backbone: Plain settings that make such a backbone.
        with_runs: Whether each method and seed gets a checkpoint.

    Yields:
        What was written, a sentence at a time.

    Raises:
        UsageError: If there is no room or no right to write. Results that are not whole go, and their folder with them;
            whole ones stay when a checkpoint has no room.
    """
    with whole_or_gone(output) as folder:
        write_text(folder / "config.yaml", config)
        write(found, folder)
    yield f"written to {folder}/results.json"
    try:
        if found.winner is not None:
            yield from keep_winner(found, folder, backbone)
        elif not with_runs and not found.selection.on_test:
            yield (
                "no checkpoint is handed back, for without a selection there is no winner; `--keep_runs true` writes "
                "one of each method"
            )
        if with_runs:
            keep_runs(found, folder, backbone)
            yield f"checkpoints of all methods and seeds written to {folder}/runs"
    except UnwritableError as error:
        raise UsageError(f"{str(error).rstrip('.')}; the results are in {folder} all the same.") from error


def check_output(output: Path, need: int = 0) -> None:
    """Find out now what would keep results from being written.

    Args:
        output: Folder of the new one.
        need: Bytes that a checkpoint will take.

    Raises:
        UsageError: If no folder can be made there, or there is no room.
    """
    folder = output
    while not folder.exists() and folder != folder.parent:  # on Windows a drive may be missing
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"`output` {str(output)!r} cannot be written: {folder} is no folder that takes new files.")
    free = shutil.disk_usage(folder).free
    if need > free:
        raise UsageError(
            f"`output` {str(output)!r} has {human(free)} free, but {human(need)} are needed for a checkpoint; make "
            f"room or choose another folder."
        )


@contextmanager
def whole_or_gone(output: Path) -> Iterator[Path]:
    """A new folder in ``output``, which goes again if it is not filled."""
    made = [parent for parent in (output, *output.parents) if not parent.exists()]
    folder = None
    try:
        folder = claim_folder(output)
        yield folder
    except BaseException as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        for parent in made:
            with suppress(OSError):  # somebody else may use it by now
                parent.rmdir()
        if isinstance(error, OSError):
            raise UsageError(
                f"`output` {str(output)!r} cannot be written ({error.strerror or error}), so nothing is kept there but "
                f"what is printed above; make room, and run the same command again."
            ) from error
        raise

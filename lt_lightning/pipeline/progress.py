"""How far a pipeline has come: kept in its folder after each stage, so that it can go on after an interruption.

From its first stage to its table a pipeline's folder holds ``unfinished.json``: the rows of the stages that have
finished, the configuration that they had, and the job of SLURM that runs it.
"""

import json
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import BaseFileLock

from lt_lightning.drafts import write_text
from lt_lightning.errors import UsageError
from lt_lightning.locking import NoLocksError, file_lock, try_to_hold
from lt_lightning.processes import is_first
from lt_lightning.results import write_json

CONFIG, RESULTS = "config.yaml", "results.json"
NOTHING_REMAINS = "nothing has been trained yet."
"""Of a pipeline that has not begun, the second half of a sentence."""

_UNFINISHED = "unfinished.json"
_LOCK = ".pipeline.lock"

Rows = dict[str, dict[str, Any]]
"""What the table says of each stage that has finished, by its name."""


@dataclass
class Progress:
    """What of a pipeline has finished."""

    folder: Path
    """The pipeline's. Only the first process knows it; the others hold a placeholder and never write."""
    preset: str
    """What the pipeline was begun as."""
    config: str
    """What it was begun with, as YAML, with which ``config.yaml`` is compared: that may have been edited."""
    rows: Rows = field(default_factory=dict)

    @classmethod
    def begin(cls, folder: Path, preset: str, config: str) -> "Progress":
        """Note in a new folder that a pipeline has begun, with its whole configuration as YAML."""
        progress = cls(folder, preset, config)
        if is_first():
            write_text(folder / CONFIG, config)
        progress.save()
        return progress

    @classmethod
    def of(cls, folder: Path) -> "Progress":
        """What was noted in the folder of a pipeline that has not finished.

        Raises:
            UsageError: If it cannot be read.
        """
        path = folder / _UNFINISHED
        try:
            noted = json.loads(path.read_text(encoding="utf-8"))
            # The folder may have been moved.
            rows = {name: {**row, "folder": str(folder / name)} for name, row in noted["stages"].items()}
            return cls(folder, str(noted["preset"]), str(noted["config"]), rows)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"`resume`: {str(path)!r} cannot be read ({type(error).__name__}: {error}); start a new run without it."
            ) from error

    def save(self) -> None:
        """Note which stages have finished, with which figures."""
        if is_first():
            job = os.environ.get("SLURM_JOB_ID")
            noted = {"job": job, "preset": self.preset, "config": self.config, "stages": self.rows}
            write_json(self.folder / _UNFINISHED, noted)

    def end(self, record: Mapping[str, Any]) -> None:
        """Write the pipeline's results, with which it has finished."""
        if is_first():
            write_json(self.folder / RESULTS, record)
            (self.folder / _UNFINISHED).unlink()


def require_begun(folder: Path) -> None:
    """Refuse a folder in which there is nothing to go on with.

    Raises:
        UsageError: If it is not the folder of a pipeline.
    """
    if not (folder / CONFIG).is_file() or not _has_begun(folder):
        raise UsageError(
            f"`resume` {str(folder)!r} is not the folder of a pipeline: it lacks `{CONFIG}`, or `{_UNFINISHED}` and "
            f"`{RESULTS}`; give a `version_K` that `lt-lightning pipeline` has made."
        )


def _has_begun(folder: Path) -> bool:
    return (folder / _UNFINISHED).is_file() or has_finished(folder)


def remove_unbegun(folder: Path) -> None:
    """Remove a new folder in which nothing was noted that a pipeline could go on with, nor anything trained."""
    if is_first() and not _has_begun(folder) and not any(path.is_dir() for path in folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)


def has_finished(folder: Path) -> bool:
    """Whether a pipeline has come to its table."""
    return (folder / RESULTS).is_file() and not (folder / _UNFINISHED).is_file()


def begun_with(folder: Path) -> str:
    """The configuration with which a pipeline began, as YAML."""
    if has_finished(folder):
        return (folder / CONFIG).read_text(encoding="utf-8")
    return Progress.of(folder).config


def what_remains(folder: Path) -> str:
    """What to do about a pipeline that was interrupted, the second half of a sentence."""
    if is_first() and not _has_begun(folder):
        return NOTHING_REMAINS
    named = (
        f"`lt-lightning pipeline --resume {shlex.quote(str(folder))}`"
        if is_first()
        else "`--resume` with the run's folder"
    )
    return f"what has been trained so far is kept; {named} goes on with it."


def folders_of_this_job(parent: Path) -> Iterator[Path]:
    """The folders of pipelines that this job of SLURM was running before it was put back into the queue.

    Args:
        parent: Of the folders of pipelines.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or int(os.environ.get("SLURM_RESTART_COUNT", "0")) < 1:
        return
    for path in sorted(parent.glob(f"version_*/{_UNFINISHED}")):
        if _job_in(path) == job:
            yield path.parent


def _job_in(path: Path) -> str | None:
    try:
        job = json.loads(path.read_text(encoding="utf-8"))["job"]
    except (OSError, ValueError, KeyError, TypeError):  # somebody else's, or being written
        return None
    return None if job is None else str(job)


def lock(folder: Path) -> BaseFileLock | None:
    """Keep a second process from going on with the same pipeline meanwhile.

    Returns:
        What is to be released at the end; ``None`` in processes other than the first, and where files have no locks.

    Raises:
        UsageError: If another process runs it, or the folder cannot be written to.
    """
    if not is_first():
        return None
    found = file_lock(folder / _LOCK)
    try:
        held = try_to_hold(found)
    except NoLocksError:
        return None
    except OSError as error:
        raise UsageError(f"{str(folder)!r} cannot be written to ({error}); a pipeline needs to.") from error
    if not held:
        raise UsageError(
            f"{str(folder)!r} is being run by another process; wait until that has ended, or remove {_LOCK!r} from it "
            f"if there is none any more."
        )
    return found

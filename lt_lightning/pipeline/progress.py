"""How far a pipeline has come: kept in its folder after each stage, so that it can go on after an interruption.

From its first stage to its table a pipeline's folder holds ``unfinished.json``: the rows of the stages that have
finished, the configuration that they had, and the job of SLURM that runs it. A stage that was interrupted has
checkpoints in a folder of its own.
"""

import csv
import errno
import io
import json
import os
import shlex
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from filelock import BaseFileLock, FileLock, Timeout
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only

from lt_lightning.checkpoints.opening import open_safely
from lt_lightning.drafts import write_text
from lt_lightning.errors import UsageError
from lt_lightning.results import write_json

CONFIG, RESULTS = "config.yaml", "results.json"
_UNFINISHED = "unfinished.json"
_LOCK = ".pipeline.lock"
_HPC = "hpc_ckpt_*.ckpt"
"""What Lightning saves when a job's time is over."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a file system says that knows no locks, as on some clusters."""

Rows = dict[str, dict[str, Any]]
"""What the table says of each stage that has finished, by its name."""


@dataclass
class Progress:
    """What of a pipeline has finished."""

    folder: Path
    """The pipeline's; elsewhere than in the first process it may be another's, and nothing is written to it."""
    preset: str
    """What the pipeline was begun as."""
    config: str
    """What it was begun with, as YAML; ``config.yaml`` may have been edited."""
    rows: Rows = field(default_factory=dict)

    @classmethod
    def begin(cls, folder: Path, preset: str, config: str) -> "Progress":
        """Note in a new folder that a pipeline has begun, with its whole configuration as YAML."""
        progress = cls(folder, preset, config)
        if _writes():
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
        if _writes():
            job = os.environ.get("SLURM_JOB_ID")
            noted = {"job": job, "preset": self.preset, "config": self.config, "stages": self.rows}
            write_json(self.folder / _UNFINISHED, noted)

    def end(self, record: Mapping[str, Any]) -> None:
        """Write the pipeline's results, with which it has finished."""
        if _writes():
            write_json(self.folder / RESULTS, record)
            (self.folder / _UNFINISHED).unlink()


def require_begun(folder: Path) -> None:
    """Refuse a folder in which there is nothing to go on with.

    Raises:
        UsageError: If it is not the folder of a pipeline.
    """
    if not (folder / CONFIG).is_file() or not ((folder / _UNFINISHED).is_file() or has_finished(folder)):
        raise UsageError(
            f"`resume` {str(folder)!r} is not the folder of a pipeline: it lacks `{CONFIG}`, or `{_UNFINISHED}` and "
            f"`{RESULTS}`; give a `version_K` that `lt-lightning pipeline` has made."
        )


def has_finished(folder: Path) -> bool:
    """Whether a pipeline has come to its table."""
    return (folder / RESULTS).is_file() and not (folder / _UNFINISHED).is_file()


def begun_with(folder: Path) -> str:
    """The configuration with which a pipeline began, as YAML."""
    if has_finished(folder):
        return (folder / CONFIG).read_text(encoding="utf-8")
    return Progress.of(folder).config


def expect_what_is_there() -> None:
    """Silence warnings of folders that are not empty and of training that has ended, both as they should be."""
    for message in (".* exists and is not empty", ".*so nothing was left to train"):
        warnings.filterwarnings("ignore", message=message)


def what_remains(folder: Path) -> str:
    """What to do about a pipeline that was interrupted, the second half of a sentence."""
    named = (
        f"`lt-lightning pipeline --resume {shlex.quote(str(folder))}`"
        if _writes()
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
    if not _writes():
        return None
    found = FileLock(folder / _LOCK)
    try:
        found.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            f"{str(folder)!r} is being run by another process; wait until that has ended, or remove {_LOCK!r} from it "
            f"if there is none any more."
        ) from None
    except NotImplementedError:  # older versions of filelock
        return None
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise UsageError(f"{str(folder)!r} cannot be written to ({error}); a pipeline needs to.") from error
    return found


def _writes() -> bool:
    """Whether this is the first process, or the only one."""
    return not rank_zero_only.rank  # type: ignore[attr-defined]  # set by Lightning when it is imported


# -- a stage that was interrupted ------------------------------------------------------------------------------------


def record_of_training(stage: Path) -> dict[str, Any] | None:
    """What a stage has noted when its training ended, if it did: then it is only to be tested.

    The checkpoint does not tell. One of a run that was stopped early would be trained further, and what callbacks find
    out when training ends is not in it.
    """
    try:
        record = json.loads((stage / RESULTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if last_epoch(stage).is_file() and "fit" in record["seconds"] else None


def last_epoch(stage: Path) -> Path:
    """Where a stage's last epoch is."""
    return stage / "checkpoints" / "last.ckpt"


def count_as_trained(trainer: Trainer, checkpoint: Path) -> None:
    """Have a Trainer that only tests count the epochs and steps of the training, under which a test is logged."""
    trainer.fit_loop.load_state_dict(open_safely(checkpoint)["loops"]["fit_loop"])
    epochs = cast(Any, trainer.fit_loop.epoch_progress.current)
    epochs.completed = epochs.processed


def newest_checkpoint(stage: Path) -> Path | None:
    """What training in a stage's folder goes on from: the last epoch that ended, or what a job saved at its end."""
    found = [path for path in (last_epoch(stage), *stage.glob(_HPC)) if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def forget_interruption(trainer: Trainer, stage: Path) -> None:
    """Remove what a job saved at its end, once training has come past it; Lightning would test it, unasked."""
    if trainer.is_global_zero:
        for path in stage.glob(_HPC):
            path.unlink()
    trainer.strategy.barrier("forget_interruption")


def keep_metrics(trainer: Trainer, checkpoint: Path | None) -> None:
    """Have a stage's ``metrics.csv`` go on, where a logger of Lightning's begins a new one in its place.

    Args:
        trainer: That has not trained yet.
        checkpoint: What it goes on from; rows of later steps are left out, as they come again.
    """
    if not trainer.is_global_zero:
        return
    logger = cast(CSVLogger, trainer.logger)
    path = Path(logger.log_dir) / "metrics.csv"
    earlier = []
    if checkpoint is not None and path.is_file():
        steps = _steps(checkpoint)
        lines = path.read_bytes().decode("utf-8").splitlines(keepends=True)
        whole = "".join(line for line in lines if line.endswith("\n"))  # a process may have ended within the last one
        earlier = [row for row in csv.DictReader(io.StringIO(whole)) if int(row["step"]) < steps]
    kept = [{name: value for name, value in row.items() if value != ""} for row in earlier]
    logger.experiment.metrics += kept
    logger.save()


def _steps(checkpoint: Path) -> int:
    """How many steps a logger has counted when a checkpoint was written; the count lags if that was within a batch."""
    contents = open_safely(checkpoint)
    counted = int(contents["loops"]["fit_loop"]["epoch_loop.state_dict"]["_batches_that_stepped"])
    return min(counted + 1, int(contents["global_step"]))

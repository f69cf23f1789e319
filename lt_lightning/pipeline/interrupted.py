"""A stage that was interrupted: what it has left in its folder, and how training goes on from that."""

import csv
import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_warn

from lt_lightning.callbacks import ResultsWriter
from lt_lightning.checkpoints import RECORD
from lt_lightning.checkpoints.opening import open_safely
from lt_lightning.drafts import remove_abandoned_drafts
from lt_lightning.modules import LTModule
from lt_lightning.modules.run_options import EPOCH_LOSS
from lt_lightning.slurm import saved_in


def expect_what_is_there() -> None:
    """Silence warnings of folders that are not empty and of training that has ended, both as they should be."""
    for message in (".* exists and is not empty", ".*so nothing was left to train"):
        warnings.filterwarnings("ignore", message=message)


def remove_drafts(folder: Path) -> None:
    """Remove half-written files of a pipeline that was killed, of which some may take as much room as a checkpoint.

    Args:
        folder: A pipeline's, whose lock is held, or that of one of its stages: nobody else writes these files.
    """
    # The last as a job's time is over.
    for name in ("config.yaml", "results.json", "unfinished.json", "metrics.csv", "checkpoints/*.ckpt", "*.ckpt"):
        remove_abandoned_drafts(folder / name)


def record_of_training(stage: Path) -> dict[str, Any] | None:
    """What a stage has noted when its training ended, if it did: then it is only to be tested.

    The checkpoint does not tell. One of a run that was stopped early would be trained further, and what callbacks find
    out when training ends is not in it.
    """
    try:
        record = json.loads((stage / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if last_epoch(stage).is_file() and "fit" in record.get("seconds", {}) else None


def last_epoch(stage: Path) -> Path:
    """Where a stage's last epoch is."""
    return stage / "checkpoints" / "last.ckpt"


def count_as_trained(trainer: Trainer, module: LTModule, checkpoint: Path, record: Mapping[str, Any]) -> None:
    """Have a test follow a training that another process has done.

    It is logged under the epochs and steps of that, and its results keep what that has found out.

    Args:
        trainer: That only tests.
        module: That it tests.
        checkpoint: The stage's last epoch.
        record: Of the training, by :func:`record_of_training`.
    """
    module.evaluation |= record["evaluation"]
    next(found for found in cast(Any, trainer).callbacks if isinstance(found, ResultsWriter)).take_over(record)
    trainer.fit_loop.load_state_dict(open_safely(checkpoint)["loops"]["fit_loop"])
    epochs = cast(Any, trainer.fit_loop.epoch_progress.current)
    epochs.completed = epochs.processed


def newest_checkpoint(stage: Path) -> Path | None:
    """What training in a stage's folder goes on from: the last epoch that ended, or what a job saved at its end."""
    found = [path for path in (last_epoch(stage), *saved_in(stage)) if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def forget_interruption(trainer: Trainer, stage: Path) -> None:
    """Remove what a job saved at its end, once training has come past it; Lightning would test it, unasked."""
    if trainer.is_global_zero:
        for path in saved_in(stage):
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
    contents = {} if checkpoint is None else open_safely(checkpoint)
    if contents and path.is_file():
        steps = _steps(contents)
        lines = path.read_bytes().decode("utf-8").splitlines(keepends=True)
        whole = "".join(line for line in lines if line.endswith("\n"))  # a process may have ended within the last one
        earlier = [row for row in csv.DictReader(io.StringIO(whole)) if int(row["step"]) < steps]
    kept = [{name: value for name, value in row.items() if value != ""} for row in earlier]
    logger.experiment.metrics += kept
    logger.save()
    epochs = contents.get(RECORD, {}).get("epochs", 0)
    if epochs and str(epochs - 1) not in {row["epoch"] for row in earlier if row.get(EPOCH_LOSS)}:
        rank_zero_warn(
            f"{path} lacks the loss of epoch {epochs}: the process was ended after it had saved the epoch, before it "
            f"logged that."
        )


def _steps(contents: Mapping[str, Any]) -> int:
    """How many steps a logger has counted when a checkpoint was written; the count lags if that was within a batch."""
    counted = int(contents["loops"]["fit_loop"]["epoch_loop.state_dict"]["_batches_that_stepped"])
    return min(counted + 1, int(contents["global_step"]))

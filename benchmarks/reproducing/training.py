"""One preset from beginning to end, over as many interruptions as it takes."""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer

from lt_lightning.main import LTCLI
from lt_lightning.modules import LTModule, RetrainModule
from lt_lightning.results import claim_folder, write_json

_DONE = "finished.json"


class Budget:
    """Time that may still be used.

    Args:
        minutes: From now; ``None`` for as long as it takes.
    """

    def __init__(self, minutes: float | None = None) -> None:
        self._end = math.inf if minutes is None else time.monotonic() + 60 * minutes

    def left(self) -> float:
        """Seconds."""
        return self._end - time.monotonic()

    def fits(self, seconds: float | None) -> bool:
        """Whether something that takes so long may begin; what nobody can estimate may, while there is time."""
        return self.left() > (seconds or 0.0)


@dataclass(frozen=True)
class Finished:
    """A training that has been tested.

    Attributes:
        results: The run's ``results.json``.
        checkpoint: Of its last epoch; ``None`` if nothing was trained.
        seconds: Of training and validation, of all parts together.
    """

    results: dict[str, Any]
    checkpoint: Path | None
    seconds: float


class Clock(Callback):
    """Counts a training's seconds over interruptions, and stops it after the last epoch that fits.

    Args:
        budget: Time that may be used.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.seconds = 0.0
        self.interrupted = False
        self._before = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start."""
        self._before = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Count the epoch and what was validated in it; the checkpoint is written after this."""
        now = time.monotonic()
        epoch, self._before = now - self._before, now
        self.seconds += epoch
        if trainer.current_epoch + 1 < (trainer.max_epochs or 0) and self.budget.left() < 1.1 * epoch:
            self.interrupted = trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint keeps."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.seconds = state_dict["seconds"]


def train(config: dict[str, Any], folder: Path, budget: Budget) -> Finished | None:
    """Train and test; a training that was stopped goes on from its last finished epoch.

    Args:
        config: Of ``fit``, with seed, data folder and, in stage 2, checkpoint.
        folder: Of this training alone; each part of it makes a ``version_K`` in it.
        budget: Time that may be used.

    Returns:
        What it gave; ``None`` if the budget stopped it, with a checkpoint kept.
    """
    done = folder / _DONE
    if done.is_file():
        return _finished(folder, json.loads(done.read_text()))
    earlier = sorted(folder.glob("version_*/checkpoints/last.ckpt"), key=lambda file: file.stat().st_mtime)
    made = LTCLI(config, run=False, folder=claim_folder(folder))
    model, trainer = cast(LTModule, made.model), cast(Any, made.trainer)
    clock = Clock(budget)
    trainer.callbacks.insert(0, clock)  # Lightning puts those that write checkpoints last
    trains = not isinstance(model, RetrainModule) or model.trains
    if trains:
        trainer.fit(model, datamodule=made.datamodule, ckpt_path=str(earlier[-1]) if earlier else None)
    if clock.interrupted:
        return None
    trainer.test(model, datamodule=made.datamodule, verbose=False)
    version = Path(trainer.log_dir)
    results = json.loads((version / "results.json").read_text())
    checkpoint = str(Path(version.name) / "checkpoints" / "last.ckpt") if trains else None
    found = {"results": results, "checkpoint": checkpoint, "seconds": clock.seconds}
    write_json(done, found)
    for file in earlier:
        file.unlink()
    return _finished(folder, found)


def _finished(folder: Path, found: dict[str, Any]) -> Finished:
    checkpoint = None if found["checkpoint"] is None else folder / found["checkpoint"]
    return Finished(found["results"], checkpoint, found["seconds"])

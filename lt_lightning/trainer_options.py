"""What the options of a Trainer, as a user gave them, leave to us."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from lt_lightning.metrics_file import MetricsFile

Kind = TypeVar("Kind", bound=Callback)


class TrainerOptions:
    """Questions to the options of a Trainer.

    Args:
        given: Options by name; those that the user left out may be missing or hold Lightning's default.

    Attributes:
        root: Folder of all runs, ``None`` by default.
        bare: Whether the Trainer is to have nothing but its loop.
        trial: Whether it only tries a few batches, and writes nothing.
        loggers: The user's; ``None`` if nothing was said of any.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = given
        self.root: str | None = given.get("default_root_dir")
        self.bare, self.trial = bool(given.get("barebones")), bool(given.get("fast_dev_run"))
        self.loggers = _listed(given.get("logger"))

    @property
    def has_end(self) -> bool:
        """Whether training ends."""
        steps, time = self.given.get("max_steps", -1), self.given.get("max_time")
        return self.given.get("max_epochs") is not None or steps != -1 or time is not None or self.trial

    @property
    def wants_progress(self) -> bool:
        """Whether a bar is wanted that the user has not brought along."""
        return self.given.get("enable_progress_bar") is not False and not self.bare and not self._of_kind(ProgressBar)

    @property
    def wants_checkpoints(self) -> bool:
        """Whether weights are to be written."""
        return self.given.get("enable_checkpointing") is not False and not self.trial and not self.bare

    @property
    def wants_no_files(self) -> bool:
        """Whether there is no folder for a run's configuration."""
        return self.given.get("logger") is False or self.bare

    def loggers_in(self, folder: Path) -> list[Logger]:
        """The user's loggers behind one of ours, whose folder is that of the run."""
        return [MetricsFile(folder.parent, name="", version=folder.name), *(self.loggers or [])]

    @property
    def lacks_folder(self) -> bool:
        """Whether no logger has a folder for one run: services' have one for all, where files are written over."""
        if self.trial or self.bare:
            return False
        loggers = self.loggers
        return loggers is None or bool(loggers and not isinstance(loggers[0], CSVLogger | TensorBoardLogger))

    def _of_kind(self, kind: type[Kind]) -> list[Kind]:
        """Those of the user's callbacks that are of a kind."""
        given = self.given.get("callbacks")
        return [
            callback
            for callback in (given if isinstance(given, list | tuple) else [given])
            if isinstance(callback, kind)
        ]


def _listed(given: object) -> list[Logger] | None:
    if given is None or given is True:
        return None
    return list(given) if isinstance(given, list | tuple) else [cast(Logger, given)] if given else []

"""What sets in at an epoch or after a fraction of training."""

from abc import ABC, abstractmethod
from math import inf
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from lt_lightning.errors import UsageError
from lt_lightning.modules.loop_state import comes_to


class DeferredCallback(Callback, ABC):
    """Base of callbacks that change training from ``start`` on.

    What is in force follows from the epoch alone, so a resumed run, also one from inside an epoch, has the right thing.

    Args:
        start: First changed epoch, counted from 0, if at least 1; below 1 the fraction of training after which the
            change comes, with the epoch that begins nearest to it.

    Raises:
        UsageError: If ``start`` is negative or no whole number above 1; before training, if it is an epoch that does
            not come (of a run on part of the training images, which is for finding mistakes, nothing is asked).

    Warns:
        UserWarning: As training begins, if ``max_steps`` ends it before the change.
    """

    def __init__(self, start: float) -> None:
        if not 0 <= start < inf or (start >= 1 and start != int(start)):
            raise UsageError(
                f"`start` of `{type(self).__name__}` must be a fraction below 1 or a whole epoch, but got {start}."
            )
        self.start = start
        self._max_epochs: int | None = None
        """Of the trainer, before Lightning's weight averaging adds a pass that collects statistics."""

    def first_epoch(self, max_epochs: int | None) -> int:
        """The first changed epoch.

        Raises:
            UsageError: If ``start`` is a fraction and training has no known length.
        """
        if self.start >= 1:
            return int(self.start)
        if max_epochs is None or max_epochs < 1:
            raise UsageError(
                f"`start` {self.start} of `{type(self).__name__}` is a fraction of training: set `trainer.max_epochs`."
            )
        return round(self.start * max_epochs)

    def started(self, trainer: Trainer) -> bool:
        """Whether the change is in force in the trainer's current epoch."""
        return trainer.current_epoch >= self._first_epoch_of(trainer)

    def _first_epoch_of(self, trainer: Trainer) -> int:
        return self.first_epoch(self._max_epochs or trainer.max_epochs)

    def check_run(self, trainer: Trainer, pl_module: LightningModule, data: object = None) -> None:
        """Find what cannot work before anything trains; a pipeline asks this of all stages first.

        Args:
            trainer: That is to train.
            pl_module: What is trained.
            data: The data module, or anything with a ``rebalances`` flag.

        Raises:
            UsageError: If the change could not come, or would not before training ends.
        """
        epochs = trainer.max_epochs
        self.check(pl_module, epochs, data)
        if epochs is None or epochs < 1 or self.first_epoch(epochs) < epochs or _is_trial(trainer):
            return
        run = f"`start` {self.start:g} of `{type(self).__name__}` changes nothing in a run of epochs 0 to {epochs - 1}"
        if self.start >= 1:
            raise UsageError(f"{run}; give an epoch below `trainer.max_epochs`, or a fraction such as 0.8.")
        rank_zero_warn(f"{run}: too few for that fraction.")

    @abstractmethod
    def check(self, pl_module: LightningModule, max_epochs: int | None, data: object = None) -> None:
        """Find parts that do not go together.

        Args:
            pl_module: What is trained.
            max_epochs: Length of training.
            data: The data module, or anything with a ``rebalances`` flag.

        Raises:
            UsageError: If the change could not come.
        """

    @abstractmethod
    def apply(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put in force what the current epoch is to have."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check before training."""
        if stage == "fit":
            self._max_epochs = trainer.max_epochs
            self.check_run(trainer, pl_module, getattr(trainer, "datamodule", None))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the right thing in force for what is left of an epoch that a resumed run goes on with."""
        self._check_steps(trainer)
        self.apply(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the right thing in force for this epoch."""
        self.apply(trainer, pl_module)

    def _check_steps(self, trainer: Trainer) -> None:
        """Warn where ``max_steps`` ends a run before the change; it may be a trial, or to be gone on with.

        How many epochs these steps are, only the batches tell.
        """
        first = self._first_epoch_of(trainer)
        if _is_trial(trainer) or comes_to(trainer, first):
            return
        if self.start >= 1:
            remedy = "; raise that, or give an earlier epoch."
        else:
            remedy = ": that is a fraction of `trainer.max_epochs`, so set this to the epochs that there are."
        rank_zero_warn(
            f"`start` {self.start:g} of `{type(self).__name__}` changes nothing in a run that `trainer.max_steps` "
            f"{trainer.max_steps} ends before epoch {first}{remedy}"
        )


def _is_trial(trainer: Trainer) -> bool:
    """Whether a run sees part of the training images only."""
    options = cast(Any, trainer)
    limit = options.limit_train_batches  # a whole number counts batches, so that 1 is one, and 1.0 all
    return bool(options.fast_dev_run or options.overfit_batches) or isinstance(limit, int) or limit < 1

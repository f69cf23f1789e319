"""How far a run has come: a bar on a terminal, lines in a file."""

from typing import Any, cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar
from rich.console import Console

from lt_lightning.progress import Pace
from lt_lightning.wording import duration


class RunProgressBar(RichProgressBar):
    """Rich's, with the training loss, and without the last four letters of the run's folder.

    Those Lightning shows as the version's number. The loss is read once each time that it is logged: what is logged for
    a bar, Lightning reads after every batch, on a GPU waiting for it, whether there is a bar or not.
    """

    _read_at = 0
    _loss: float | None = None

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """What stands behind the bar."""
        shown = dict(super().get_metrics(trainer, pl_module))
        shown.pop("v_num", None)
        step, interval = trainer.global_step, cast(Any, trainer).log_every_n_steps
        if interval and step % interval == 0 and step != self._read_at:
            self._read_at = step
            loss = trainer.callback_metrics.get("train/loss")
            self._loss = None if loss is None else float(loss)
        return shown if self._loss is None else {"train/loss": self._loss, **shown}


class EpochLines(ProgressBar):
    """A line an epoch: loss and validation accuracy, where they were logged in it, and the time that is left.

    Rich writes its bar into a file once, when all is over; until then the log of a job would be empty.

    Args:
        seconds: Least time between two lines, ours; short epochs have fewer than one each. The last one has one.
    """

    def __init__(self, seconds: float = 30.0) -> None:
        super().__init__()
        self.seconds = seconds
        self._shown = True
        self._pace = Pace(seconds)
        self._validated, self._steps = -1, 0

    def disable(self) -> None:
        """Say nothing, as in all processes but the first."""
        self._shown = False

    def enable(self) -> None:
        """Say it again."""
        self._shown = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock."""
        self._pace = Pace(self.seconds)
        self._validated = -1

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Note after which step the epoch begins."""
        self._steps = trainer.global_step

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Note which epoch the figures are of."""
        self._validated = trainer.current_epoch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Say how far training is."""
        due, done, last = self._pace.advance(1), trainer.current_epoch + 1, trainer.max_epochs
        if not self._shown or not (due or done == last):
            return
        found, said = trainer.callback_metrics, []
        interval = cast(Any, trainer).log_every_n_steps
        if "train/loss" in found and interval and trainer.global_step // interval > self._steps // interval:
            said.append(f"train/loss {float(found['train/loss']):.4g}")
        if "val/all" in found and self._validated == trainer.current_epoch:
            said.append(f"val/all {100 * float(found['val/all']):.1f} %")
        known = last is not None and last > 0
        if known and done < cast(int, last):
            said.append(f"about {duration(self._pace.seconds_of(cast(int, last) - done))} left")
        epoch = f"epoch {done}{f' of {last}' if known else ''}"
        print(": ".join(filter(None, (epoch, ", ".join(said)))), flush=True)


def progress_shown() -> ProgressBar:
    """A bar where somebody looks on, lines where the output is a file."""
    console = Console()
    return RunProgressBar(refresh_rate=10) if console.is_terminal or console.is_jupyter else EpochLines()

"""The bar that a run shows."""

from typing import Any, cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar


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

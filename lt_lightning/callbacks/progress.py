"""The bar that a run shows."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar


class RunProgressBar(RichProgressBar):
    """Rich's, without the last four letters of the run's folder, which Lightning shows as the version's number."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """What stands behind the bar."""
        shown = dict(super().get_metrics(trainer, pl_module))
        shown.pop("v_num", None)
        return shown

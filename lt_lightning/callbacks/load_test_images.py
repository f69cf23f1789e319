"""Test images are loaded before training."""

from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer


class LoadTestImagesFirst(Callback):
    """Bad test data should stop a pipeline before stage 1 trains, not after."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Load them beside those of training."""
        if stage == "fit":
            cast(Any, trainer).datamodule.setup("test")

"""``last.ckpt``, the checkpoint of a run's last epoch."""

import time
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from lt_lightning.modules.loop_state import run_ends


class LastCheckpoint(ModelCheckpoint):
    """Writes ``last.ckpt`` after every epoch; a large one at most twice a minute, and after the last epoch.

    A ResNet-34's 160 MB take between a third of a second and one and a half to write, as long as a GPU may take for an
    epoch of small images. So a run that is killed loses the epoch that it was in, and with a large network epochs of
    half a minute.

    Args:
        folder: Of the file; ``None`` for that of the logger.
        large: Bytes from which a file waits.
        seconds: From one large file to the next.
    """

    def __init__(self, folder: Path | None, large: int = 64 * 2**20, seconds: float = 30.0) -> None:
        super().__init__(
            folder, filename="last", save_top_k=1, enable_version_counter=False, save_on_train_epoch_end=True
        )
        self.large = large
        self.seconds = seconds
        self._due = 0.0
        """From when on, by :func:`time.monotonic`, an epoch is written."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the epoch, unless it can wait."""
        ended = trainer.max_epochs != -1 and trainer.current_epoch + 1 >= (trainer.max_epochs or 0)
        # Processes write together: the first one's clock counts for all.
        if ended or run_ends(trainer) or trainer.strategy.broadcast(time.monotonic() >= self._due):
            super().on_train_epoch_end(trainer, pl_module)
            file = Path(self.best_model_path)
            if file.is_file() and file.stat().st_size >= self.large:
                self._due = time.monotonic() + self.seconds

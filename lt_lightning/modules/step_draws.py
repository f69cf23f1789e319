"""What dropout and its like draw in a training step."""

from contextlib import AbstractContextManager, nullcontext

from lightning.pytorch import LightningModule

from lt_lightning.devices.random_state import seeded
from lt_lightning.seeds import Stream, is_seeded, run_seed, seed_from


class StepDraws:
    """Has a run with a seed draw by epoch, batch and process, so that a resumed one draws the same.

    A batch whose loss is asked for again, as by LBFGS or for two passes of one batch, draws anew.
    """

    def __init__(self) -> None:
        self._last = (-1, -1, 0)
        """Epoch and batch of the last step, and how often it had asked for a loss before."""

    def of(self, module: LightningModule, batch_idx: int) -> AbstractContextManager[None]:
        """The context in which a step of a module computes; in a run without a seed it changes nothing.

        Args:
            module: That trains.
            batch_idx: Place of the batch in its epoch.
        """
        if not is_seeded():
            return nullcontext()
        batch = (module.current_epoch, batch_idx)
        self._last = (*batch, self._last[2] + 1 if self._last[:2] == batch else 0)
        return seeded(seed_from(Stream.STEP, run_seed(), *self._last, module.global_rank), module.device)

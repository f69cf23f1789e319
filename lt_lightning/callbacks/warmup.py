"""Linear warm-up of the learning rate."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from lt_lightning.errors import UsageError


class LinearWarmup(Callback):
    """Scale the learning rate by ``(epoch + 1) / epochs`` in the first ``epochs`` epochs.

    LDAM's recipe (Cao et al. 2019) warms up over 5 epochs. The scale is applied around each optimiser step and taken
    off again, so whatever schedule runs underneath never sees it.

    Args:
        epochs: Epochs of warm-up; epoch 0 trains at ``lr / epochs``, epoch ``epochs - 1`` at the full rate.

    Raises:
        UsageError: If ``epochs`` is below 1.
    """

    def __init__(self, epochs: int = 5) -> None:
        if epochs < 1:
            raise UsageError(
                f"`epochs` of `LinearWarmup` must be at least 1, but got {epochs}; leave the callback out."
            )
        self.epochs = epochs
        self._handles: list[Any] = []

    def factor(self, epoch: int) -> float:
        """What the learning rate is multiplied by in an epoch, counted from 0."""
        return min(1.0, (epoch + 1) / self.epochs)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Wrap every optimiser's step."""
        for optimizer in trainer.optimizers:
            self._handles += self._wrap(optimizer, trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Leave the optimisers as they were."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _wrap(self, optimizer: Optimizer, trainer: Trainer) -> list[Any]:
        saved: list[Any] = []

        def scale(optimizer: Optimizer, *_: Any) -> None:
            factor = self.factor(trainer.current_epoch)
            saved[:] = [group["lr"] for group in optimizer.param_groups]
            if factor < 1:
                for group in optimizer.param_groups:
                    group["lr"] = group["lr"] * factor

        def restore(optimizer: Optimizer, *_: Any) -> None:
            for group, lr in zip(optimizer.param_groups, saved, strict=True):
                group["lr"] = lr

        return [optimizer.register_step_pre_hook(scale), optimizer.register_step_post_hook(restore)]

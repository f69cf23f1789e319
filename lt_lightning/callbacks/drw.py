"""Deferred re-weighting."""

from math import inf

from lightning.pytorch import Callback, LightningModule, Trainer

from lt_lightning.errors import UsageError
from lt_lightning.functional import class_balanced_weights
from lt_lightning.losses import Loss


class DRW(Callback):
    """Train with equal class weights first, with class-balanced ones from ``start`` on (Cao et al. 2019).

    The weights in force follow from the epoch alone, so a resumed run has the right ones.

    Args:
        start: First re-weighted epoch, counted from 0, if at least 1; below 1 the fraction of training after which
            re-weighting starts. LDAM's 160 of 200 epochs are 0.8.
        beta: Of the effective number of samples (Cui et al. 2019); 0.9999 in LDAM's code.

    Raises:
        UsageError: If ``start`` is negative or no whole number above 1, or ``beta`` does not lie in [0, 1).
    """

    def __init__(self, start: float = 0.8, beta: float = 0.9999) -> None:
        if not 0 <= start < inf or (start >= 1 and start != int(start)):
            raise UsageError(f"`start` of `DRW` must be a fraction below 1 or a whole epoch, but got {start}.")
        if not 0 <= beta < 1:
            raise UsageError(f"`beta` of `DRW` must lie in [0, 1), but got {beta}.")
        self.start = start
        self.beta = beta

    def first_epoch(self, max_epochs: int | None) -> int:
        """The first re-weighted epoch.

        Raises:
            UsageError: If ``start`` is a fraction and training has no known length.
        """
        if self.start >= 1:
            return int(self.start)
        if max_epochs is None or max_epochs < 1:
            raise UsageError(f"`start` {self.start} of `DRW` is a fraction of training: set `trainer.max_epochs`.")
        return round(self.start * max_epochs)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check before training."""
        if stage == "fit":
            self.check(pl_module, trainer.max_epochs, getattr(trainer, "datamodule", None))

    def check(self, pl_module: LightningModule, max_epochs: int | None, data: object = None) -> None:
        """Refuse a loss that takes no class weights or has some, and any other correction for imbalance.

        Args:
            pl_module: What is trained.
            max_epochs: Length of training.
            data: The data module, or anything with a ``rebalances`` flag.

        Raises:
            UsageError: If re-weighting could not start, or would correct twice.
        """
        loss = _loss_of(pl_module)
        self.first_epoch(max_epochs)
        if loss.weight is not None:
            raise UsageError(
                f"`DRW` would replace the class weights given to `{type(loss).__name__}`; leave out one of the two."
            )
        others = {f"`{type(loss).__name__}`": loss.rebalances, "`data.sampler`": getattr(data, "rebalances", False)}
        for other, rebalances in others.items():
            if rebalances and not getattr(pl_module, "allow_double_balancing", False):
                raise UsageError(
                    f"`DRW` and {other} would both correct for class imbalance; leave one of them out, or set "
                    f"`model.allow_double_balancing` to true."
                )
        loss.set_weight(class_balanced_weights(loss.class_counts, self.beta))  # a loss without weights raises here
        loss.set_weight(None)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the weights in force for what is left of an epoch that a resumed run goes on with."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put this epoch's weights in force."""
        loss = _loss_of(pl_module)
        if trainer.current_epoch < self.first_epoch(trainer.max_epochs):
            loss.set_weight(None)
        else:
            loss.set_weight(class_balanced_weights(loss.class_counts, self.beta))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Leave the loss as it was, so that it can be trained with again."""
        _loss_of(pl_module).set_weight(None)


def _loss_of(pl_module: LightningModule) -> Loss:
    loss = getattr(pl_module, "loss", None)
    if not isinstance(loss, Loss):
        raise UsageError(
            f"`DRW` needs a module with a `loss` that takes class weights, but got {type(pl_module).__name__}."
        )
    return loss

"""Deferred re-weighting."""

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lt_lightning.callbacks.deferred import DeferredCallback
from lt_lightning.errors import UsageError
from lt_lightning.functional import class_balanced_weights
from lt_lightning.losses import Loss
from lt_lightning.modules.contract import heeds_weights


class DRW(DeferredCallback):
    """Train with equal class weights first, with class-balanced ones from ``start`` on (Cao et al. 2019).

    The weights in force follow from the epoch alone, so a resumed run has the right ones. A loss that stands in for the
    module's (:class:`~lt_lightning.callbacks.DeferredLoss`) gets them too.

    Args:
        start: First re-weighted epoch, counted from 0, if at least 1; below 1 the fraction of training after which
            re-weighting starts. LDAM's 160 of 200 epochs are 0.8.
        beta: Of the effective number of samples (Cui et al. 2019); 0.9999 in LDAM's code.

    Raises:
        UsageError: If ``start`` is negative or no whole number above 1, or ``beta`` does not lie in [0, 1).
    """

    def __init__(self, start: float = 0.8, beta: float = 0.9999) -> None:
        super().__init__(start)
        if not 0 <= beta < 1:
            raise UsageError(f"`beta` of `DRW` must lie in [0, 1), but got {beta}.")
        self.beta = beta
        self._applied = False

    def check(self, pl_module: LightningModule, max_epochs: int | None, data: object = None) -> None:
        """Refuse a loss that takes no class weights, forgets them or has some, and any other correction for imbalance.

        Args:
            pl_module: What is trained.
            max_epochs: Length of training.
            data: The data module, or anything with a ``rebalances`` flag.

        Raises:
            UsageError: If re-weighting could not start, or would correct twice.
        """
        loss = _loss_of(pl_module)
        self.first_epoch(max_epochs)
        head = getattr(pl_module, "head", None)
        others = {
            f"`{type(loss).__name__}`": loss.rebalances,
            f"`{type(head).__name__}`": getattr(head, "rebalances", False),
            "`data.sampler`": getattr(data, "rebalances", False),
        }
        # Weights of its own, for which a loss counts as a correction, are the better reason.
        may = loss.weight is not None or getattr(pl_module, "allow_double_balancing", False)
        for other, rebalances in others.items():
            if rebalances and not may:
                raise UsageError(
                    f"`DRW` and {other} would both correct for class imbalance; leave one of them out, or set "
                    f"`model.allow_double_balancing` to true."
                )
        self.check_loss(loss)

    def check_loss(self, loss: Loss) -> None:
        """Refuse a loss that takes no class weights, forgets them or has some.

        Raises:
            UsageError: If re-weighting it could not start, or would change nothing.
        """
        if loss.weight is not None:
            raise UsageError(
                f"`DRW` would replace the class weights given to `{type(loss).__name__}`; leave out one of the two."
            )
        loss.set_weight(class_balanced_weights(loss.class_counts, self.beta))  # a loss without weights raises here
        loss.set_weight(None)
        if not heeds_weights(loss):
            raise UsageError(
                f"`DRW` would change nothing: `{type(loss).__name__}` takes class weights, but does not look at them; "
                f"have it end in `self.reduce(losses, targets)`, or leave `DRW` out."
            )

    def weights(self, trainer: Trainer, loss: Loss) -> Tensor | None:
        """Class weights of the trainer's current epoch, ``(K,)``; ``None`` before they come into force."""
        return class_balanced_weights(loss.class_counts, self.beta) if self.started(trainer) else None

    def apply(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put this epoch's weights in force."""
        loss = _loss_of(pl_module)
        self._applied = True
        loss.set_weight(self.weights(trainer, loss))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Leave the loss as it was, so that it can be trained with again."""
        self._leave(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """Leave the loss as it was; what :meth:`check` refuses has weights that are not from here."""
        self._leave(pl_module)

    def _leave(self, pl_module: LightningModule) -> None:
        if self._applied:
            _loss_of(pl_module).set_weight(None)
        self._applied = False


def _loss_of(pl_module: LightningModule) -> Loss:
    loss = getattr(pl_module, "loss", None)
    if not isinstance(loss, Loss):
        raise UsageError(
            f"`DRW` needs a module with a `loss` that takes class weights, but got {type(pl_module).__name__}."
        )
    return loss

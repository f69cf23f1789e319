"""Another loss for the first part of training."""

from collections.abc import Callable
from typing import Any, cast

from lightning.pytorch import LightningModule, Trainer

from lt_lightning.callbacks.deferred import DeferredCallback
from lt_lightning.callbacks.drw import DRW
from lt_lightning.errors import UsageError, check_makes
from lt_lightning.losses import CrossEntropyLoss, Loss
from lt_lightning.modules import LTModule
from lt_lightning.modules.combinations import check_head_and_loss


class DeferredLoss(DeferredCallback):
    """Train with another loss first, with the module's own from ``start`` on.

    The influence-balanced loss needs it: influence says little of a network that has not learnt yet (Park et al. 2021
    train with cross entropy for the first half). Evaluation and prediction always take the module's loss. The loss in
    force follows from the epoch alone, so a resumed run has the right one. With :class:`DRW` beside it the loss that
    trains has DRW's class weights from DRW's start on, whichever loss that is. Learning rates often have to change at
    the same epoch: losses differ in size, IB's by its ``alpha``.

    Args:
        start: First epoch with the module's loss, counted from 0, if at least 1; below 1 the fraction of training after
            which it comes. IB's 100 of 200 epochs are 0.5.
        before: Makes the loss until then from ``(class_counts,)``.

    Raises:
        UsageError: If ``start`` is negative or no whole number above 1, or ``before`` a loss; before training, if the
            first loss does not go with the head, scales logits otherwise than the module's loss, keeps a state, which
            no checkpoint would, or would get class weights from DRW that it does not go with.

    References:
        Park et al., "Influence-Balanced Loss for Imbalanced Visual Classification", ICCV 2021.
    """

    def __init__(self, start: float = 0.5, before: Callable[[list[int]], Loss] = CrossEntropyLoss) -> None:
        super().__init__(start)
        check_makes("before", before, Loss)
        self.before = before
        self._stand_in: Loss | None = None

    def check_run(self, trainer: Trainer, pl_module: LightningModule, data: object = None) -> None:
        """Find as well whether :class:`DRW` sets in before the change, and does not go with the first loss."""
        super().check_run(trainer, pl_module, data)
        epochs, stand_in = trainer.max_epochs, cast(Loss, self._stand_in)
        for callback in cast(Any, trainer).callbacks:
            if isinstance(callback, DRW) and (first := callback.first_epoch(epochs)) < self.first_epoch(epochs):
                if stand_in.rebalances and stand_in.weight is None and not pl_module.allow_double_balancing:
                    raise UsageError(
                        f"`before` of `DeferredLoss`, {type(stand_in).__name__}, still trains in epoch {first}, from "
                        f"which on `DRW` gives class weights: both would correct for class imbalance; leave one of "
                        f"them out, or set `model.allow_double_balancing` to true."
                    )
                try:
                    callback.check_loss(stand_in)
                except UsageError as error:
                    raise UsageError(
                        f"`before` of `DeferredLoss` still trains in epoch {first}, from which on `DRW` gives class "
                        f"weights: {error}"
                    ) from error

    def check(self, pl_module: LightningModule, max_epochs: int | None, data: object = None) -> None:
        """Refuse a first loss that cannot hand over to the module's.

        Args:
            pl_module: What is trained.
            max_epochs: Length of training.
            data: The data module, or anything with a ``rebalances`` flag.

        Raises:
            UsageError: If the losses do not go together, or ``start`` has no meaning.
        """
        if not isinstance(pl_module, LTModule):
            raise UsageError(f"`DeferredLoss` needs a module of this package, but got {type(pl_module).__name__}.")
        self.first_epoch(max_epochs)
        loss, before = pl_module.loss, self.before(pl_module.class_counts)
        names = f"`before` {type(before).__name__} of `DeferredLoss` and `model.loss` {type(loss).__name__}"
        if before.logit_scale != loss.logit_scale:
            raise UsageError(
                f"{names} do not go together: they multiply logits by {before.logit_scale:g} and "
                f"{loss.logit_scale:g}, so the second would start from other logits than the first leaves; give both "
                f"the same scale."
            )
        if before.state_dict():
            raise UsageError(
                f"{names} do not go together: the first keeps a state, which a resumed run would lose; use a loss "
                f"without one, such as CrossEntropyLoss."
            )
        check_head_and_loss(pl_module.head, before, pl_module.allow_double_balancing)
        if before.rebalances and getattr(data, "rebalances", False) and not pl_module.allow_double_balancing:
            raise UsageError(
                f"`before` {type(before).__name__} of `DeferredLoss` and `data.sampler` would both correct for class "
                f"imbalance; choose one, or set `model.allow_double_balancing` to true."
            )
        self._stand_in = before

    def apply(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put this epoch's loss in force, with the class weights that DRW wants now."""
        module, stand_in = cast(LTModule, pl_module), cast(Loss, self._stand_in)
        if self.started(trainer):
            module.train_with(None)
            return
        module.train_with(stand_in.to(module.device))
        for callback in cast(Any, trainer).callbacks:
            if isinstance(callback, DRW) and callback.started(trainer):
                stand_in.set_weight(callback.weights(trainer, stand_in))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Leave the module as it was."""
        cast(LTModule, pl_module).train_with(None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """Leave the module as it was; any module may have been refused by :meth:`check`."""
        if isinstance(pl_module, LTModule):
            pl_module.train_with(None)

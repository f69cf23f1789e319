"""Measures the learning property on the training set when training ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lt_lightning.callbacks.averaging import WeightEMA
from lt_lightning.errors import UsageError
from lt_lightning.functional import GROUPS, at_least_fp32, group_means, group_of
from lt_lightning.functional.precision import widest_float
from lt_lightning.losses import Loss
from lt_lightning.metrics import LearningPropertyResidual
from lt_lightning.modules import LTModule


class LearningProperty(Callback):
    """Residual of the learning property (LGL-INR eq. 8) per class, after training, as a measure of convergence.

    All training images are shown once more, in evaluation mode and without augmentation, and the gradient of the loss
    with respect to the training logits is summed over them: what pulls a class's logit up against what pushes it down.
    A trained bias is at rest where both are equal, for any loss, with class weights and soft labels; where the
    optimiser decays the bias as well, that is taken into account (as SGD decays; AdamW does otherwise). Training that
    augments or normalises by batches rests elsewhere, by as much as these change the logits. So does training with
    ``LargeMarginSoftmaxLoss`` and class weights, whose two terms have means of their own and are summed here as they
    are.

    ``results.json`` gets it as ``diagnostics.learning_property``: ``residual`` per class, in [-1, 1], above 0 where the
    class's logit is still too low; ``many``, ``medium``, ``few``: mean of its size over the group; ``bias``: whether
    there is a bias that trains (the property rests on it), and how much it is decayed.

    Raises:
        UsageError: When training starts, if the loss gives none per sample.
    """

    def __init__(self) -> None:
        self.diagnostics: dict[str, Any] = {}
        self._weight: Tensor | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check before training."""
        if stage != "fit":
            return
        data = getattr(trainer, "datamodule", None)
        if not isinstance(pl_module, LTModule) or not hasattr(data, "undistorted_batches"):
            raise UsageError(
                f"`LearningProperty` needs a module and data of this package, but got {type(pl_module).__name__} and "
                f"{type(data).__name__}."
            )
        loss = pl_module.loss
        self._weight = loss.weight
        zeros = torch.zeros(2, len(pl_module.class_counts), device=loss.counts.device)
        features = zeros.new_zeros(2, pl_module.backbone.num_features)
        with torch.no_grad(), _frozen(loss), _reduction(loss, "none"):
            if loss(zeros, torch.tensor([0, 0], device=zeros.device), features).ndim != 1:
                raise UsageError(
                    f"`LearningProperty` needs a loss of each sample, which `{type(loss).__name__}` has not; leave the "
                    f"callback out."
                )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Note the class weights of the epoch, which ``DRW`` takes off when training ends."""
        self._weight = cast(LTModule, pl_module).loss.weight

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go over the training set and keep the residuals for ``results.json``.

        In whichever order callbacks are given: with the weights that the run leaves and the last epoch's class weights.
        """
        if cast(Any, trainer).fast_dev_run:
            return
        module = cast(LTModule, pl_module)
        for callback in cast(Any, trainer).callbacks:
            if isinstance(callback, WeightEMA):
                callback.on_train_end(trainer, pl_module)
        residual = LearningPropertyResidual(len(module.class_counts)).to(module.device)
        divisor = torch.zeros((), device=module.device)
        training = module.training
        module.eval()
        with _frozen(module.loss), _weighed(module.loss, self._weight):
            for images, targets in cast(Any, trainer).datamodule.undistorted_batches("train", module.device):
                gradients, number = _gradients(module, images, targets)
                residual.update(gradients)
                divisor = divisor + number
        module.train(training)
        bias, weight_decay = _decayed_bias(trainer, module)
        if bias is None or weight_decay == 0:
            values = residual.compute()
        else:
            divisor = trainer.strategy.reduce(divisor, reduce_op="sum")
            wide = widest_float(bias.device)
            values = residual.with_decay(weight_decay * divisor.to(wide) * bias.detach().to(wide))
        masks = group_of(module.class_counts, module.group_thresholds).to(values.device)
        sizes = group_means(values.abs(), masks).tolist()
        self.diagnostics["learning_property"] = {
            "residual": values.tolist(),
            **dict(zip(GROUPS, sizes, strict=True)),
            "bias": {"trains": bias is not None, "weight_decay": weight_decay},
        }


def _gradients(module: LTModule, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient of the summed loss with respect to the training logits, and what a mean would have divided it by."""
    with torch.no_grad():
        features = module.features(images)
        logits = module.head(at_least_fp32(features))
    logits = logits.detach().requires_grad_()
    with torch.enable_grad(), _reduction(module.loss, "none"):
        total = module.loss(logits, targets, features).sum()
    (gradients,) = torch.autograd.grad(total, logits)
    with torch.no_grad():
        mean = module.loss(logits, targets, features)
    return gradients, torch.where(mean > 0, total.detach() / mean, len(targets))


def _decayed_bias(trainer: Trainer, module: LTModule) -> tuple[Tensor | None, float]:
    """The head's bias, if it trains, and its weight decay."""
    bias = getattr(module.head, "bias", None)
    if isinstance(bias, Tensor) and bias.requires_grad:
        for group in (group for optimizer in trainer.optimizers for group in optimizer.param_groups):
            if any(parameter is bias for parameter in group["params"]):
                return bias, float(group.get("weight_decay", 0.0))
    return None, 0.0


@contextmanager
def _reduction(loss: Loss, reduction: Any) -> Iterator[None]:
    """Another reduction for a while."""
    usual, loss.reduction = loss.reduction, reduction
    try:
        yield
    finally:
        loss.reduction = usual


@contextmanager
def _weighed(loss: Loss, weight: Tensor | None) -> Iterator[None]:
    """These class weights for a while."""
    usual = loss.weight
    if usual is not weight:
        loss.set_weight(weight)
    try:
        yield
    finally:
        if usual is not weight:
            loss.set_weight(usual)


@contextmanager
def _frozen(loss: Loss) -> Iterator[None]:
    """The loss in evaluation mode, in which what it keeps does not change."""
    training = loss.training
    loss.eval()
    try:
        yield
    finally:
        loss.train(training)

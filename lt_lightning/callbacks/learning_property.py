"""Measures the learning property on the training set when training ends."""

from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.func import functional_call

from lt_lightning.callbacks.averaging import WeightEMA
from lt_lightning.errors import UsageError
from lt_lightning.functional import GROUPS, at_least_fp32, group_means, group_of
from lt_lightning.functional.precision import widest_float
from lt_lightning.losses import Loss
from lt_lightning.metrics import LearningPropertyResidual
from lt_lightning.modules import LTModule
from lt_lightning.wording import one_line

_TOLERANCE = 0.02  # of a logit's move: heads that compute in bfloat16 have two digits


@dataclass(frozen=True)
class _Bias:
    """A parameter that is added to the logits, times a constant for each class.

    Attributes:
        values: ``(K,)``.
        slopes: The constants, ``(K,)``: 1, or a half where a head divides its logits by a temperature of 2.
        weight_decay: Of the optimiser.
    """

    values: Tensor
    slopes: Tensor
    weight_decay: float


class LearningProperty(Callback):
    """Residual of the learning property (LGL-INR eq. 8) per class, after training, as a measure of convergence.

    All training images are shown once more, in evaluation mode and without augmentation, and the gradient of the loss
    with respect to the training logits is summed over them: what pulls a class's logit up against what pushes it down.
    A trained bias is at rest where both are equal, for any loss, with class weights and soft labels; where the
    optimiser decays the bias as well, that is taken into account (as SGD decays; AdamW does otherwise). Training that
    augments or normalises by batches rests elsewhere, by as much as these change the logits. So does training with
    ``LargeMarginSoftmaxLoss`` and class weights, whose two terms have means of their own and are summed here as they
    are. With a sampler that shows classes in other proportions than the training set has, the sum would tell of these,
    not of convergence: nothing is measured.

    ``results.json`` gets it as ``diagnostics.learning_property``: ``residual`` per class, in [-1, 1], above 0 where the
    class's logit is still too low; ``many``, ``medium``, ``few``: mean of its size over the group; ``bias``: whether
    there is a bias that trains (the property rests on it), and how much it is decayed. A bias is what adds the same to
    a class's logit for all features, whatever a head calls it. Where several parameters do, or a head cannot be tried,
    both are ``None`` and no decay is taken into account. With a sampler that balances classes the whole is ``None``;
    so it is where training has left in the loss what cannot be copied.

    Raises:
        UsageError: When training starts, if the loss gives none per sample, or cannot be copied.

    Warns:
        UserWarning: When training starts, if the sampler balances classes; later, if the bias cannot be told or the
            loss can no longer be copied.
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
        if _rebalances(data):
            rank_zero_warn(
                "`LearningProperty` counts each training image once, but `data.sampler` shows classes in other "
                "proportions than the training set has, so nothing is measured; leave the callback out, or take a "
                "sampler that does not balance classes, such as InstanceSampler."
            )
            return
        loss = pl_module.loss
        self._weight = loss.weight
        zeros = torch.zeros(2, len(pl_module.class_counts), device=loss.counts.device, requires_grad=True)
        features = zeros.new_zeros(2, pl_module.backbone.num_features, requires_grad=True)
        targets = torch.tensor([0, 0], device=zeros.device)
        _, each = _mean_and_each(loss, loss.weight)
        if each(zeros, targets, features).ndim != 1:
            raise UsageError(
                f"`LearningProperty` needs a loss of each sample, which `{type(loss).__name__}` has not; leave the "
                f"callback out."
            )
        trained = _copied(loss).train()
        devices = [zeros.device] if zeros.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), suppress(Exception):  # training may give it what it wants
            trained(zeros, targets, features)
        for tried in (each, trained):
            _copied(tried)  # with what it may have kept of a batch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Note the class weights of the epoch, which ``DRW`` takes off when training ends."""
        self._weight = cast(LTModule, pl_module).loss.weight

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go over the training set and keep the residuals for ``results.json``.

        In whichever order callbacks are given: with the weights that the run leaves and the last epoch's class weights.
        """
        if cast(Any, trainer).fast_dev_run:
            return
        if _rebalances(cast(Any, trainer).datamodule):
            self.diagnostics["learning_property"] = None
            return
        module = cast(LTModule, pl_module)
        for callback in cast(Any, trainer).callbacks:
            if isinstance(callback, WeightEMA):
                callback.on_train_end(trainer, pl_module)
        try:
            losses = _mean_and_each(module.loss, self._weight)
        except UsageError as error:  # of what it keeps of late; the run's results are to be kept
            rank_zero_warn(f"{error} Nothing is measured.")
            self.diagnostics["learning_property"] = None
            return
        residual = LearningPropertyResidual(len(module.class_counts)).to(module.device)
        divisor = torch.zeros((), device=module.device)
        training = module.training
        module.eval()
        for images, targets in cast(Any, trainer).datamodule.undistorted_batches("train", module.device):
            gradients, number = _gradients(module, *losses, images, targets)
            residual.update(gradients)
            divisor = divisor + number
        biases = _find_biases(trainer, module)
        module.train(training)
        if biases is not None and len(biases) == 1 and biases[0].weight_decay != 0:
            (bias,) = biases
            divisor = trainer.strategy.reduce(divisor, reduce_op="sum")
            wide = widest_float(bias.values.device)
            pull = bias.weight_decay * divisor.to(wide) * bias.values.to(wide)
            values = residual.with_decay(pull / bias.slopes.to(wide))
        else:
            values = residual.compute()
        masks = group_of(module.class_counts, module.group_thresholds).to(values.device)
        sizes = group_means(values.abs(), masks).tolist()
        self.diagnostics["learning_property"] = {
            "residual": values.tolist(),
            **dict(zip(GROUPS, sizes, strict=True)),
            "bias": _said_of(biases, type(module.head).__name__),
        }


def _rebalances(data: object) -> bool:
    return bool(getattr(data, "rebalances", False))


def _said_of(biases: list[_Bias] | None, head: str) -> dict[str, Any]:
    if biases is None or len(biases) > 1:
        why = "which cannot be tried" if biases is None else f"where {len(biases)} parameters act as one"
        rank_zero_warn(
            f"`LearningProperty` cannot tell the bias of `{head}`, {why}; weight decay is left out of its residual."
        )
        return {"trains": None, "weight_decay": None}
    return {"trains": bool(biases), "weight_decay": biases[0].weight_decay if biases else 0.0}


def _mean_and_each(loss: Loss, weight: Tensor | None) -> tuple[Loss, Loss]:
    """Copies of a loss as it now is, with these class weights: one for a batch's mean, one for the loss of each sample.

    They are in evaluation mode, in which what a loss keeps does not change.
    """
    mean = _copied(loss).eval()
    if loss.weight is not weight:
        mean.set_weight(weight)
    each = _copied(mean)
    each.reduction = "none"
    return mean, each


def _copied(loss: Loss) -> Loss:
    try:
        return deepcopy(loss)
    except Exception as error:  # of one's own, which may keep anything
        raise UsageError(
            f"`LearningProperty` measures with copies of the loss, but `{type(loss).__name__}` cannot be copied "
            f"({one_line(error, 200)}); take from it what `copy.deepcopy` refuses, or leave the callback out."
        ) from error


def _gradients(module: LTModule, mean: Loss, each: Loss, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient of the summed loss with respect to the training logits, and what a mean would have divided it by."""
    with torch.no_grad():
        features = module.features(images)
        logits = module.head(at_least_fp32(features))
    logits = logits.detach().requires_grad_()
    with torch.enable_grad():
        total = each(logits, targets, features).sum()
    (gradients,) = torch.autograd.grad(total, logits)
    with torch.no_grad():
        usual = mean(logits, targets, features)
    return gradients, torch.where(usual > 0, total.detach() / usual, len(targets))


def _find_biases(trainer: Trainer, module: LTModule) -> list[_Bias] | None:
    """What trains in the head and is a bias of its logits by what it does; ``None`` if a head cannot be tried."""
    groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
    decays = {id(parameter): float(group.get("weight_decay", 0.0)) for group in groups for parameter in group["params"]}
    found = []
    for name, parameter in module.head.named_parameters():
        if parameter.requires_grad and parameter.numel() == len(module.class_counts) and id(parameter) in decays:
            try:
                slopes = _slopes(module.head, name, parameter, module.backbone.num_features)
            except Exception:  # of one's own, which takes only what training gave it; the run's results are to be kept
                return None
            if slopes is not None:
                found.append(_Bias(parameter.detach().reshape(-1), slopes, decays[id(parameter)]))
    return found


@torch.no_grad()
def _slopes(head: nn.Module, name: str, parameter: Tensor, num_features: int) -> Tensor | None:
    """How much each logit moves with its entry of a parameter, ``(K,)``; ``None`` unless for all features alike."""
    features = torch.randn(4, num_features, generator=torch.Generator().manual_seed(0)).abs().to(parameter.device)
    logits = at_least_fp32(head(features))
    size = 1 + logits.abs().max()  # else rounding would hide it
    moves = []
    for steps in (torch.ones(parameter.numel()), torch.linspace(0.5, 1, parameter.numel())):
        changed = (parameter + size * steps.to(parameter.device).view_as(parameter)).to(parameter.dtype)
        step = (at_least_fp32(changed) - at_least_fp32(parameter)).reshape(-1)
        moves.append((functional_call(head, {name: changed}, (features,)) - logits) / step)
    slopes: Tensor = moves[0].mean(dim=0)
    alike = all(bool(((move - slopes).abs() <= _TOLERANCE * slopes.abs()).all()) for move in moves)
    return slopes if alike and bool((slopes != 0).all()) else None

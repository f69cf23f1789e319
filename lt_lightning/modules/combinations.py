"""Which heads, losses, samplers and averages do not go together; each refusal is one sentence that names both parts."""

from collections.abc import Iterable
from inspect import signature

from lightning.pytorch.callbacks import EMAWeightAveraging, WeightAveraging
from torch import Tensor, nn

from lt_lightning.errors import UsageError
from lt_lightning.heads import Head, LinearHead, LogitAdjustmentHead
from lt_lightning.losses import Loss
from lt_lightning.packages import is_ours


def check_head_and_loss(head: Head, loss: Loss, allow_double_balancing: bool) -> None:
    """Refuse a head and a loss that cannot train, or would correct for imbalance twice.

    Beside that: a scaled margin loss on logits that are no plain cosines, sigmoids on logits from which log priors
    will be taken, a first bias for a classifier without one, and a loss that is no scalar.

    Args:
        head: What gives the logits.
        loss: What is taken of them.
        allow_double_balancing: Whether both may correct for imbalance, as some published mixtures do.

    Raises:
        UsageError: If they do not go together.
    """
    names = f"`model.head` {type(head).__name__} and `model.loss` {type(loss).__name__}"
    weight = " with class weights (`model.loss.weight`)" if _weighs_on_demand(loss) else ""
    if head.rebalances and loss.rebalances and not allow_double_balancing:
        raise UsageError(
            f"{names}{weight} would both correct for class imbalance; choose one, or set "
            f"`model.allow_double_balancing` to true."
        )
    if loss.logit_scale > 1 and not head.normalized:
        raise UsageError(
            f"{names} do not go together: {type(loss).__name__} multiplies logits by {loss.logit_scale:g} and so needs "
            f"plain cosines; give `model.head` CosineHead with `model.head.scale` 1, or set `model.loss.scale` to 1."
        )
    if isinstance(head, LogitAdjustmentHead) and head.tau > 0 and loss.one_vs_all:
        raise UsageError(
            f"{names} do not go together: the adjustment divides softmax probabilities by priors, which sigmoids of "
            f"single classes do not allow; use a softmax loss, such as CrossEntropyLoss."
        )
    if loss.initial_bias is not None:
        bias = getattr(head, "bias", None)
        if not isinstance(bias, nn.Parameter) or not bias.requires_grad:
            raise UsageError(
                f"{names} do not go together: the loss wants the classifier's bias to start at "
                f"{loss.initial_bias:.4g}, and this head has no bias that trains; set `init_bias` to false."
            )
    if loss.reduction == "none":
        raise UsageError(
            f'{names} cannot be trained with `reduction` "none": a step needs one number, not one of each sample; use '
            f'"mean" or "sum".'
        )


def check_head_from_features(head: Head, stage: str) -> None:
    """Refuse a head that is made from features where the backbone has yet to learn them.

    Args:
        head: What gives the logits.
        stage: Name of the module that is to train it.

    Raises:
        UsageError: If the head needs features first.
    """
    if head.needs_features:
        raise UsageError(
            f"`model.head` {type(head).__name__} and `model` {stage} do not go together: the head is made from the "
            f"features of a trained backbone; use RetrainModule."
        )


def check_head_learns(head: Head, stage: str) -> None:
    """Refuse a head of this package that keeps the classifier of a stage 1 as it is where there has been none.

    A backbone would then learn to suit a random classifier, as it may be meant to in a head of one's own.

    Args:
        head: What gives the logits.
        stage: Name of the module that is to train it.

    Raises:
        UsageError: If its classifier does not train.
    """
    weight = getattr(head, "weight", None)
    chosen = type(head) is LinearHead or not is_ours(type(head))  # it was frozen on purpose
    if not chosen and isinstance(weight, Tensor) and not weight.requires_grad:
        raise UsageError(
            f"`model.head` {type(head).__name__} and `model` {stage} do not go together: the head keeps the classifier "
            f"of stage 1 as it is, and here that would stay random; train LinearHead first, then this head in "
            f"RetrainModule."
        )


def check_sampler(balanced: bool, head: Head, loss: Loss, allow_double_balancing: bool) -> None:
    """Refuse a loss or head that corrects for imbalance on batches that are balanced already.

    Args:
        balanced: Whether the sampler shows classes in other proportions than the training set has.
        head: What gives the logits.
        loss: What is taken of them.
        allow_double_balancing: Whether more than one part may correct for imbalance.

    Raises:
        UsageError: If they do not go together.
    """
    if allow_double_balancing or not balanced:
        return
    for part in (loss, head):
        if part.rebalances:
            weight = "`model.loss.weight` of " if isinstance(part, Loss) and _weighs_on_demand(part) else ""
            raise UsageError(
                f"`data.sampler` and {weight}`{type(part).__name__}` would both correct for class imbalance; choose "
                f"one, or set `model.allow_double_balancing` to true."
            )


def check_averages(head: Head, callbacks: Iterable[object]) -> None:
    """Refuse Lightning's averages of the weights of all steps, as :func:`check_average` does.

    A subclass of one's own may average as an epoch ends, when the weights have been projected.

    Args:
        head: Whose weights they average.
        callbacks: The trainer's.

    Raises:
        UsageError: If there is one that does not go with the head.
    """
    for callback in callbacks:
        if type(callback) in (WeightAveraging, EMAWeightAveraging):
            check_average(head, type(callback).__name__)


def check_average(head: Head, average: str) -> None:
    """Refuse to average the weights of all steps where the head projects them once an epoch.

    Args:
        head: Whose weights are averaged.
        average: Name of the callback that does it.

    Raises:
        UsageError: If the average would break the head's bounds.
    """
    if head.project_every == "epoch":
        raise UsageError(
            f"`model.head.project_every` epoch does not go with `{average}`: the average takes in weights of all "
            f"steps, most of them not yet projected, and would break the head's bounds; give step."
        )


def _weighs_on_demand(loss: Loss) -> bool:
    """Whether the loss corrects for imbalance by class weights alone, and these have been given to it."""
    return (
        loss.weight is not None
        and type(loss).rebalances is Loss.rebalances
        and "weight" in signature(type(loss)).parameters  # else they are its own
    )

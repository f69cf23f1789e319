"""Derivatives of losses by the logits of many heads at once."""

from collections.abc import Hashable, Sequence

from torch import Tensor

from lt_lightning.losses import Loss
from lt_lightning.retraining.slopes.autograd import AutogradSlopes
from lt_lightning.retraining.slopes.base import Slopes
from lt_lightning.retraining.slopes.equalization import EqualizationSlopes
from lt_lightning.retraining.slopes.in_negative import InNegativeSlopes
from lt_lightning.retraining.slopes.margin import MarginSlopes
from lt_lightning.retraining.slopes.one_vs_all import OneVsAllSlopes
from lt_lightning.retraining.slopes.softmax import SoftmaxSlopes

# Closed forms first; any row-wise loss that is left, such as one with class weights, is differentiated by autograd.
_KINDS: tuple[type[Slopes], ...] = (
    SoftmaxSlopes,
    MarginSlopes,
    OneVsAllSlopes,
    EqualizationSlopes,
    InNegativeSlopes,
    AutogradSlopes,
)


def slopes_key(loss: Loss) -> Hashable | None:
    """What losses whose slopes are taken together have in common; ``None`` for one that trains alone."""
    return next((key for kind in _KINDS if (key := kind.key(loss)) is not None), None)


def slopes_of(losses: Sequence[Loss], like: Tensor) -> Slopes:
    """The slopes of losses with one :func:`slopes_key`, which is not ``None``, for logits like a tensor."""
    kind = next(kind for kind in _KINDS if kind.key(losses[0]) is not None)
    return kind(losses, like)


__all__ = ["Slopes", "slopes_key", "slopes_of"]

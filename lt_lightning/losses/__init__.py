"""Losses for long-tailed classification; each takes the class counts first."""

from lt_lightning.losses.base import Loss
from lt_lightning.losses.class_balanced import ClassBalancedLoss
from lt_lightning.losses.cross_entropy import CrossEntropyLoss
from lt_lightning.losses.margin import LDAMLoss
from lt_lightning.losses.prior import BalancedSoftmaxLoss, LogitAdjustedLoss
from lt_lightning.losses.smoothing import LORTLoss

__all__ = [
    "BalancedSoftmaxLoss",
    "ClassBalancedLoss",
    "CrossEntropyLoss",
    "LDAMLoss",
    "LORTLoss",
    "LogitAdjustedLoss",
    "Loss",
]

"""Losses for long-tailed classification; each takes the class counts first."""

from lt_lightning.losses.base import Loss
from lt_lightning.losses.class_balanced import ClassBalancedLoss
from lt_lightning.losses.cross_entropy import CrossEntropyLoss
from lt_lightning.losses.equalization import EqualizationLossV2
from lt_lightning.losses.focal import FocalLoss
from lt_lightning.losses.hard_softmax import HardSelectionSoftmaxLoss
from lt_lightning.losses.in_negative import LGLINRLoss
from lt_lightning.losses.influence import InfluenceBalancedLoss
from lt_lightning.losses.large_margin import LargeMarginSoftmaxLoss
from lt_lightning.losses.logistic import HardSelectionLogisticLoss, LogisticLoss, SoftSelectionLogisticLoss
from lt_lightning.losses.margin import ELMLoss, LDAMLoss, MarginLoss, MaximumMarginLDAMLoss
from lt_lightning.losses.one_vs_all import OneVsAllLoss
from lt_lightning.losses.prior import BalancedSoftmaxLoss, LogitAdjustedLoss, VectorScalingLoss
from lt_lightning.losses.reweight import GeneralizedReweightLoss
from lt_lightning.losses.seesaw import SeesawLoss
from lt_lightning.losses.smoothing import LabelAwareSmoothingLoss, LORTLoss

__all__ = [
    "BalancedSoftmaxLoss",
    "ClassBalancedLoss",
    "CrossEntropyLoss",
    "ELMLoss",
    "EqualizationLossV2",
    "FocalLoss",
    "GeneralizedReweightLoss",
    "HardSelectionLogisticLoss",
    "HardSelectionSoftmaxLoss",
    "InfluenceBalancedLoss",
    "LDAMLoss",
    "LGLINRLoss",
    "LORTLoss",
    "LabelAwareSmoothingLoss",
    "LargeMarginSoftmaxLoss",
    "LogisticLoss",
    "LogitAdjustedLoss",
    "Loss",
    "MarginLoss",
    "MaximumMarginLDAMLoss",
    "OneVsAllLoss",
    "SeesawLoss",
    "SoftSelectionLogisticLoss",
    "VectorScalingLoss",
]

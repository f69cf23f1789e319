"""Metrics of long-tailed recognition."""

from lt_lightning.metrics.calibration import CalibrationError
from lt_lightning.metrics.fisher import FisherRatio
from lt_lightning.metrics.group_accuracy import GroupAccuracy
from lt_lightning.metrics.learning_property import LearningPropertyResidual
from lt_lightning.metrics.logits import LogitsStatistics
from lt_lightning.metrics.multilabel import multilabel_scores
from lt_lightning.metrics.retrieval import retrieval_scores
from lt_lightning.metrics.weights import weight_cosines, weight_norms

__all__ = [
    "CalibrationError",
    "FisherRatio",
    "GroupAccuracy",
    "LearningPropertyResidual",
    "LogitsStatistics",
    "multilabel_scores",
    "retrieval_scores",
    "weight_cosines",
    "weight_norms",
]

"""Metrics of long-tailed recognition."""

from lt_lightning.metrics.group_accuracy import GroupAccuracy
from lt_lightning.metrics.logits import LogitsStatistics
from lt_lightning.metrics.weights import weight_norms

__all__ = ["GroupAccuracy", "LogitsStatistics", "weight_norms"]

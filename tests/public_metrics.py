"""Every public metric, and how tests feed it."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torchmetrics import Metric

from lt_lightning.metrics import (
    CalibrationError,
    FisherRatio,
    GroupAccuracy,
    LearningPropertyResidual,
    LogitsStatistics,
)

COUNTS = [500, 60, 19, 3, 230, 101, 100, 20]
WIDTH = 4

Make = Callable[..., Metric]
"""Makes a metric for so many classes, with options of torchmetrics."""
Feed = Callable[[Any, Tensor, Tensor], None]
"""Gives it a batch: numbers of each class, ``(N, K)`` with K of at least ``WIDTH``, and targets, ``(N,)``."""


def _pair(metric: Any, values: Tensor, targets: Tensor) -> None:
    metric.update(values, targets)


METRICS: dict[str, tuple[Make, Feed]] = {
    "GroupAccuracy": (lambda k, **options: GroupAccuracy((COUNTS * k)[:k], top_k=(2, 5), **options), _pair),
    "LogitsStatistics": (lambda k, **options: LogitsStatistics((COUNTS * k)[:k], **options), _pair),
    "CalibrationError": (
        lambda k, **options: CalibrationError((COUNTS * k)[:k], **options),
        lambda m, z, y: m.update(z.softmax(1), y),
    ),
    "FisherRatio": (lambda k, **options: FisherRatio(k, WIDTH, **options), lambda m, z, y: m.update(z[:, :WIDTH], y)),
    "LearningPropertyResidual": (LearningPropertyResidual, lambda m, z, y: m.update(z)),
}

"""Schedules and records that hang on the training loop."""

from lt_lightning.callbacks.averaging import WeightEMA
from lt_lightning.callbacks.deferred import DeferredCallback
from lt_lightning.callbacks.deferred_loss import DeferredLoss
from lt_lightning.callbacks.distraction import NegativeDistraction
from lt_lightning.callbacks.drw import DRW
from lt_lightning.callbacks.learning_property import LearningProperty
from lt_lightning.callbacks.predictions import PredictionsWriter
from lt_lightning.callbacks.progress import EpochLines, RunProgressBar, progress_shown
from lt_lightning.callbacks.results import ResultsWriter
from lt_lightning.callbacks.temperature import TemperatureScaling
from lt_lightning.callbacks.warmup import LinearWarmup

__all__ = [
    "DRW",
    "DeferredCallback",
    "DeferredLoss",
    "EpochLines",
    "LearningProperty",
    "LinearWarmup",
    "NegativeDistraction",
    "PredictionsWriter",
    "ResultsWriter",
    "RunProgressBar",
    "TemperatureScaling",
    "WeightEMA",
    "progress_shown",
]

"""Schedules and records that hang on the training loop."""

from lt_lightning.callbacks.drw import DRW
from lt_lightning.callbacks.predictions import PredictionsWriter
from lt_lightning.callbacks.results import ResultsWriter
from lt_lightning.callbacks.warmup import LinearWarmup

__all__ = ["DRW", "LinearWarmup", "PredictionsWriter", "ResultsWriter"]

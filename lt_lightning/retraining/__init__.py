"""Training classifier heads on features, many at once."""

from lt_lightning.retraining.loop import train_heads, try_step
from lt_lightning.retraining.runs import FeatureRows, HeadRun

__all__ = ["FeatureRows", "HeadRun", "train_heads", "try_step"]

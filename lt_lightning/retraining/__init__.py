"""Training classifier heads on features, many at once."""

from lt_lightning.retraining.loop import train_heads, try_step
from lt_lightning.retraining.naming import naming
from lt_lightning.retraining.own_parts import unshared
from lt_lightning.retraining.portions import portions
from lt_lightning.retraining.runs import FeatureRows, HeadRun

__all__ = ["FeatureRows", "HeadRun", "naming", "portions", "train_heads", "try_step", "unshared"]

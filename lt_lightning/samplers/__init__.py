"""Which training images an epoch shows, in which order, and which process gets which.

A sampler draws **one global list** of indices per epoch, from ``(seed, epoch)`` alone, the same in every process.
:class:`ShardedBatchSampler` cuts it into global batches and hands each process its share, so the union over processes
is that list exactly, whatever their number. :class:`EvalBatchSampler` shards evaluation without repeating an image.
"""

from lt_lightning.samplers.base import EpochSampler
from lt_lightning.samplers.cycles import ClassBalancedSampler, InstanceSampler
from lt_lightning.samplers.multinomial import (
    EffectiveNumberSampler,
    InverseFrequencySampler,
    MultinomialSampler,
    ReversedSampler,
    SquareRootSampler,
)
from lt_lightning.samplers.progressive import ProgressiveSampler
from lt_lightning.samplers.sharding import EvalBatchSampler, ShardedBatchSampler

__all__ = [
    "ClassBalancedSampler",
    "EffectiveNumberSampler",
    "EpochSampler",
    "EvalBatchSampler",
    "InstanceSampler",
    "InverseFrequencySampler",
    "MultinomialSampler",
    "ProgressiveSampler",
    "ReversedSampler",
    "ShardedBatchSampler",
    "SquareRootSampler",
]

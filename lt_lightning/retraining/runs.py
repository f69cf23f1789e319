"""What it takes to train one head on features."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lt_lightning.devices.random_state import RandomState
from lt_lightning.heads import Head
from lt_lightning.losses import Loss
from lt_lightning.samplers import EpochSampler


class FeatureRows(Protocol):
    """Features of the training images, one view of each image per epoch."""

    def take(self, indices: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Features ``(B, D)`` and classes ``(B,)`` of the images at ``indices`` in an epoch."""


@dataclass(eq=False)
class HeadRun:
    """One head to train.

    Attributes:
        head: Starts as it is, trained in place.
        loss: Class weights and constants included.
        optimizer: Over the head's parameters that train.
        scheduler: Stepped once an epoch.
        sampler: Order of images; runs that share one object share their batches.
        batch_size: Images per step.
        epochs: Length of training.
        name: Of its method, for errors in a user's own parts.
        random_state: What a user's own parts draw from, so that heads trained beside them change nothing; ``None`` for
            torch's own, which all share.
        seconds: Filled in by training: this head's share of the time that its batches took.
    """

    head: Head
    loss: Loss
    optimizer: Optimizer
    scheduler: LRScheduler
    sampler: EpochSampler
    batch_size: int
    epochs: int
    name: str = ""
    random_state: RandomState | None = None
    seconds: float = 0.0

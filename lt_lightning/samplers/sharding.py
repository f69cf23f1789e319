"""Who gets what: global batches shared out to processes, for training and for evaluation."""

from collections.abc import Iterator
from math import ceil

import torch
from torch import Tensor
from torch.utils.data import Sampler

from lt_lightning.errors import UsageError, check_at_least_1
from lt_lightning.samplers.base import EpochSampler


def check_shared(batch_size: int, world_size: int) -> None:
    """Refuse batches that processes cannot share evenly.

    Args:
        batch_size: Images per step, over all processes.
        world_size: Number of processes.

    Raises:
        UsageError: If ``world_size`` does not divide ``batch_size``.
    """
    if batch_size % world_size:
        raise UsageError(
            f"`batch_size` counts the images of a step over all processes and must be a multiple of their number, "
            f"but got {batch_size} for {world_size} processes."
        )


class ShardedBatchSampler(Sampler[list[int]]):
    """Global batches of one list, each split over the processes.

    ``batch_size`` counts the images of one optimiser step **over all processes together**, so that a learning rate
    means the same on one device and on eight. When the last batch has fewer images than there are processes, they join
    the batch before it: no process is ever without an image, none is repeated, none lost.

    Args:
        sampler: Draws the global list.
        batch_size: Images per step, over all processes.
        rank: This process.
        world_size: Number of processes.
        skip_batches: Batches of the first epoch that a resumed run has already seen.
        repeats: Whether every epoch has the order of the first, so that its first batches are always the same images.

    Raises:
        UsageError: If ``sampler`` is no EpochSampler, ``rank`` is none of 0 to ``world_size`` - 1, ``world_size``
            does not divide ``batch_size``, or the list is shorter than ``world_size``.
    """

    def __init__(
        self,
        sampler: EpochSampler,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        skip_batches: int = 0,
        repeats: bool = False,
    ) -> None:
        if not isinstance(sampler, EpochSampler):
            raise UsageError(f"`sampler` must be an EpochSampler, but got a {type(sampler).__name__}.")
        _check_rank(rank, world_size)
        check_at_least_1(batch_size=batch_size)
        check_shared(batch_size, world_size)
        if len(sampler) < world_size:
            raise UsageError(f"{len(sampler)} training images cannot be shared by {world_size} processes; use fewer.")
        self.sampler = sampler
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size
        self.skip_batches = skip_batches
        self.repeats = repeats

    def __iter__(self) -> Iterator[list[int]]:
        for share in self.shares():
            yield share.tolist()

    def shares(self, device: torch.device | None = None) -> Iterator[Tensor]:
        """The batches as tensors ``(B,)``, int64, on ``device``, to which the epoch's order is sent as a whole."""
        indices = self.sampler.indices(0 if self.repeats else self.sampler.epoch).to(device, non_blocking=True)
        first, self.skip_batches = self.skip_batches, 0
        for step in range(first, len(self)):
            stop = (step + 1) * self.batch_size if step + 1 < len(self) else len(indices)
            yield indices[step * self.batch_size + self.rank : stop : self.world_size]

    def __len__(self) -> int:
        """Steps of an epoch, the same in every process."""
        whole, rest = divmod(len(self.sampler), self.batch_size)
        return whole + (rest >= self.world_size) if whole else 1


class EvalBatchSampler(Sampler[list[int]]):
    """Every index once over all processes, in as many batches in each process.

    The equal number matters: under DDP a validation step inside ``fit`` synchronises buffers, so a process with fewer
    batches would leave the others waiting. Batch sizes differ by one instead.

    Args:
        num_samples: Images to evaluate.
        batch_size: Largest number of images per batch and process; at 1, a process with an image more than others has
            one batch of 2.
        rank: This process.
        world_size: Number of processes.

    Raises:
        UsageError: If ``rank`` is none of 0 to ``world_size`` - 1, or there are fewer images than processes.
    """

    def __init__(self, num_samples: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        _check_rank(rank, world_size)
        check_at_least_1(batch_size=batch_size)
        if num_samples < world_size:
            raise UsageError(f"{num_samples} images cannot be evaluated by {world_size} processes; use fewer.")
        self.num_samples = num_samples
        self.rank = rank
        self.world_size = world_size
        largest_share = ceil(num_samples / world_size)
        # Every process must fill every batch: the smallest share bounds their number.
        self._batches = min(ceil(largest_share / batch_size), num_samples // world_size)

    def __iter__(self) -> Iterator[list[int]]:
        share = torch.arange(self.rank, self.num_samples, self.world_size)
        for batch in torch.tensor_split(share, self._batches):
            yield batch.tolist()

    def __len__(self) -> int:
        return self._batches


def _check_rank(rank: int, world_size: int) -> None:
    if not 0 <= rank < world_size:
        raise UsageError(f"`rank` must lie in 0 to `world_size` - 1, but got {rank} for {world_size} processes.")

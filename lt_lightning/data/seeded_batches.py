"""Batches that bring the seed from which their images are cropped."""

from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

from lt_lightning.samplers import ShardedBatchSampler
from lt_lightning.seeds import run_seed, seed_from


class SeededBatch(list[int]):
    """Indices of a training batch, with the seed from which its images are cropped."""

    seed: int

    def __init__(self, indices: Sequence[int], seed: int) -> None:
        super().__init__(indices)
        self.seed = seed


class SeededBatches(Sampler[list[int]]):
    """Gives each batch a seed made of (run, epoch, step, process).

    So what an epoch shows depends neither on the number of workers nor on whether the run was interrupted.

    Args:
        batches: The batches of this process.
    """

    def __init__(self, batches: ShardedBatchSampler) -> None:
        self.batches = batches
        self.sampler = batches.sampler  # where Lightning looks for `set_epoch`

    def __iter__(self) -> Iterator[list[int]]:
        first = self.batches.skip_batches
        for step, indices in enumerate(self.batches, start=first):
            yield SeededBatch(indices, seed_from(run_seed(), self.sampler.epoch, step, self.batches.rank))

    def __len__(self) -> int:
        return len(self.batches)

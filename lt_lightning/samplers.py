"""Which training images an epoch shows, in which order, and which process gets which.

A sampler draws **one global list** of indices per epoch, from ``(seed, epoch)`` alone, the same in every process.
:class:`ShardedBatchSampler` cuts it into global batches and hands each process its share, so the union over processes
is that list exactly, whatever their number. :class:`EvalBatchSampler` shards evaluation without repeating an image.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from math import ceil
from typing import ClassVar

import torch
from torch import Tensor
from torch.utils.data import Sampler

from lt_lightning.errors import UsageError


class EpochSampler(Sampler[int], ABC):
    """Base of all training samplers: a pure function from ``(seed, epoch)`` to a list of indices.

    Args:
        targets: Class of each training image, shape ``(N,)``.
        seed: Seed of the draws. The order of an epoch depends on it and on the epoch, on nothing else.

    Raises:
        UsageError: If a class between 0 and the largest target has no image.
    """

    rebalances: ClassVar[bool] = False
    """Whether classes appear in other proportions than the training set has them."""

    def __init__(self, targets: Sequence[int] | Tensor, seed: int = 0) -> None:
        self.targets = torch.as_tensor(targets, dtype=torch.int64)
        self.seed = seed
        self.epoch = 0
        self.class_counts = torch.bincount(self.targets)
        if bool((self.class_counts == 0).any()):
            empty = torch.nonzero(self.class_counts == 0).flatten().tolist()
            raise UsageError(f"`targets` has no image of class {empty[0]}; a sampler needs one of each class at least.")

    @abstractmethod
    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw one epoch's indices, shape ``(len(self),)``, int64, from ``generator`` alone."""

    def indices(self, epoch: int) -> Tensor:
        """The global list of one epoch, shape ``(len(self),)``, the same in every process."""
        # Distinct streams for neighbouring seeds and epochs: (0, 1) must not equal (1, 0).
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch * 7_919 + 17) % 2**63)
        return self.draw(generator)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each one."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        yield from self.indices(self.epoch).tolist()

    def __len__(self) -> int:
        return len(self.targets)


class InstanceSampler(EpochSampler):
    """Every image once, in random order: classes appear as often as they are."""

    def draw(self, generator: torch.Generator) -> Tensor:
        """One random permutation."""
        return torch.randperm(len(self), generator=generator)


class ClassBalancedSampler(EpochSampler):
    """Classes in shuffled cycles, images of a class in shuffled cycles of their own (class-aware sampling).

    Every class is drawn equally often (to within ``samples_per_class``), every image of a class before any repeats.
    An epoch has as many images as the training set, the length that published code cuts it to.

    Args:
        targets: Class of each training image, shape ``(N,)``.
        seed: Seed of the draws.
        samples_per_class: Images taken in a row from a class whose turn it is. 4 in the code of "Decoupling
            representation and classifier" (Kang et al. 2020), which is the default here.

    Raises:
        UsageError: If ``samples_per_class`` is below 1.
    """

    rebalances = True

    def __init__(self, targets: Sequence[int] | Tensor, seed: int = 0, samples_per_class: int = 4) -> None:
        super().__init__(targets, seed)
        if samples_per_class < 1:
            raise UsageError(f"`samples_per_class` must be at least 1, but got {samples_per_class}.")
        self.samples_per_class = samples_per_class
        self._by_class = torch.argsort(self.targets, stable=True)
        self._first = torch.cumsum(self.class_counts, 0) - self.class_counts

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw the classes' turns, then fill each turn from that class's shuffled cycles."""
        num_classes, length = len(self.class_counts), len(self)
        turns = ceil(length / self.samples_per_class)
        cycles = ceil(turns / num_classes)
        order = torch.rand(cycles, num_classes, generator=generator).argsort(dim=1).flatten()[:turns]
        classes = order.repeat_interleave(self.samples_per_class)[:length]

        # The j-th draw of class c takes place j of c's endless sequence: permutation after permutation of its images.
        needed = torch.bincount(classes, minlength=num_classes)
        rounds = (needed + self.class_counts - 1) // self.class_counts
        pool_sizes = rounds * self.class_counts
        owner = torch.repeat_interleave(torch.arange(num_classes), pool_sizes)
        pool_first = torch.cumsum(pool_sizes, 0) - pool_sizes
        place = torch.arange(len(owner)) - pool_first[owner]
        member = place % self.class_counts[owner]
        # Sorting by (class, round, random key) shuffles within each round and leaves rounds in sequence.
        key = torch.rand(len(owner), generator=generator, dtype=torch.float64)
        block = place // self.class_counts[owner] + (torch.cumsum(rounds, 0) - rounds)[owner]
        shuffled = torch.argsort(block.double() + key)
        pool = self._by_class[(self._first[owner] + member)[shuffled]]

        by_class = torch.argsort(classes, stable=True)
        occurrence = torch.empty_like(classes)
        occurrence[by_class] = torch.arange(length) - (torch.cumsum(needed, 0) - needed)[classes[by_class]]
        return pool[pool_first[classes] + occurrence]


class InverseFrequencySampler(EpochSampler):
    """Independent draws with replacement, each class equally likely (multinomial re-sampling).

    About 37 % of what a balanced epoch could show is missed in each epoch and other images repeat, unlike with
    :class:`ClassBalancedSampler`: this is "re-sampling" in LORT's Table 1 and in MiSLAS.
    """

    rebalances = True

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw ``len(self)`` times: a class uniformly, then one of its images uniformly."""
        weights = (1.0 / self.class_counts.double())[self.targets]
        return torch.multinomial(weights, len(self), replacement=True, generator=generator)


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

    Raises:
        UsageError: If ``world_size`` does not divide ``batch_size``, or the list is shorter than ``world_size``.
    """

    def __init__(
        self, sampler: EpochSampler, batch_size: int, rank: int = 0, world_size: int = 1, skip_batches: int = 0
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"`batch_size` must be at least 1, but got {batch_size}.")
        if batch_size % world_size:
            raise UsageError(
                f"`batch_size` counts the images of a step over all processes and must be a multiple of their number, "
                f"but got {batch_size} for {world_size} processes."
            )
        if len(sampler) < world_size:
            raise UsageError(f"{len(sampler)} training images cannot be shared by {world_size} processes; use fewer.")
        self.sampler = sampler
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size
        self.skip_batches = skip_batches

    def __iter__(self) -> Iterator[list[int]]:
        indices = self.sampler.indices(self.sampler.epoch)
        first, self.skip_batches = self.skip_batches, 0
        for step in range(first, len(self)):
            stop = (step + 1) * self.batch_size if step + 1 < len(self) else len(indices)
            yield indices[step * self.batch_size + self.rank : stop : self.world_size].tolist()

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
        batch_size: Largest number of images per batch and process.
        rank: This process.
        world_size: Number of processes.

    Raises:
        UsageError: If there are fewer images than processes.
    """

    def __init__(self, num_samples: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        if batch_size < 1:
            raise UsageError(f"`eval_batch_size` must be at least 1, but got {batch_size}.")
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

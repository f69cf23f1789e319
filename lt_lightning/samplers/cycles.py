"""Samplers without replacement: no image is shown again before all others of its kind have been."""

from collections.abc import Sequence
from math import ceil

import torch
from torch import Tensor

from lt_lightning.errors import check_at_least_1
from lt_lightning.samplers.base import ClassIndex, EpochSampler, places_in_class


class InstanceSampler(EpochSampler):
    """Every image once, in random order, so classes keep their proportions."""

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
        check_at_least_1(samples_per_class=samples_per_class)
        self.samples_per_class = samples_per_class
        self._index = ClassIndex(self.targets, self.class_counts)

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
        pool = self._index.images(owner, member)[shuffled]
        return pool[pool_first[classes] + places_in_class(classes)]

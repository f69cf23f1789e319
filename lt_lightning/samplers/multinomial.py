"""Independent draws with replacement: a class by its probability, then one of its images uniformly."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.functional.priors import class_balanced_weights
from lt_lightning.samplers.base import ClassIndex, EpochSampler


class MultinomialSampler(EpochSampler):
    """Base of samplers that draw with replacement; a subclass says how likely each class is.

    An epoch has as many draws as the training set has images, so a class whose probability is its share of the training
    set shows about 63 % of its images in an epoch; other images repeat.

    Drawing the class first has the law of a multinomial over images with equal weights inside each class. It takes K
    probabilities instead of N, and ``torch.multinomial`` takes no more than 2^24.

    Args:
        targets: Class of each training image, shape ``(N,)``.
        seed: Seed of the draws.
    """

    rebalances = True

    def __init__(self, targets: Sequence[int] | Tensor, seed: int = 0) -> None:
        super().__init__(targets, seed)
        self._index = ClassIndex(self.targets, self.class_counts)

    @abstractmethod
    def class_probabilities(self) -> Tensor:
        """How likely each class is at ``self.epoch``, ``(K,)``, float64, up to a factor."""

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw ``len(self)`` times: a class by its probability, then one of its images uniformly.

        Raises:
            UsageError: If there is not one probability per class.
            RuntimeError: Torch's own, if one is negative or not finite, or none is above 0.
        """
        probabilities = self.class_probabilities()
        if probabilities.shape != self.class_counts.shape:
            raise UsageError(
                f"`class_probabilities` of `{type(self).__name__}` must have shape ({len(self.class_counts)},), one "
                f"per class, but has shape {tuple(probabilities.shape)}."
            )
        classes = torch.multinomial(probabilities, len(self), replacement=True, generator=generator)
        counts = self.class_counts[classes]
        # fp64, whose largest number below 1 times a count stays below that count.
        places = (torch.rand(len(self), generator=generator, dtype=torch.float64) * counts).long()
        return self._index.images(classes, places)


class InverseFrequencySampler(MultinomialSampler):
    """Each class equally likely: images by the inverse of their class's frequency (multinomial re-sampling).

    Some images are missed in each epoch and others repeat, unlike with :class:`ClassBalancedSampler`: this is
    "re-sampling" in LORT's Table 1 and in MiSLAS.
    """

    def class_probabilities(self) -> Tensor:
        """The same for each class."""
        return torch.ones_like(self.class_counts, dtype=torch.float64)


class SquareRootSampler(MultinomialSampler):
    """Classes in proportion to the square root of their counts, halfway between instance- and class-balanced.

    References:
        Mahajan et al., "Exploring the Limits of Weakly Supervised Pretraining", ECCV 2018; Kang et al., "Decoupling
        Representation and Classifier for Long-Tailed Recognition", ICLR 2020, eq. 1 with q = 1/2.
    """

    def class_probabilities(self) -> Tensor:
        """In proportion to √n."""
        return self.class_counts.double().sqrt()


class ReversedSampler(MultinomialSampler):
    """Classes in proportion to the inverse of their counts, so that the rarest is drawn most often.

    Images of a class then have weight 1/n²: the re-balancing branch of the bilateral-branch network.

    References:
        Zhou et al., "BBN: Bilateral-Branch Network with Cumulative Learning for Long-Tailed Visual Recognition", CVPR
        2020, section 4.2.
    """

    def class_probabilities(self) -> Tensor:
        """In proportion to 1/n."""
        return 1 / self.class_counts.double()


class EffectiveNumberSampler(MultinomialSampler):
    """Images weighed by the inverse effective number of their class, ``(1 - β) / (1 - β^n)``.

    A class of n images hence has probability in proportion to ``n (1 - β) / (1 - β^n)``: instance-balanced where n is
    large against 1 / (1 - β), class-balanced where it is small. With the counts of CIFAR100-LT (500 to 5) and the
    default the likeliest class is 2.5 % ahead of the rarest.

    Args:
        targets: Class of each training image, shape ``(N,)``.
        seed: Seed of the draws.
        beta: In [0, 1): 0 draws images uniformly. 0.9999 in LDAM's code, where this is "Resample", and in GCL's.

    Raises:
        UsageError: If ``beta`` does not lie in [0, 1).

    References:
        Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019.
    """

    def __init__(self, targets: Sequence[int] | Tensor, seed: int = 0, beta: float = 0.9999) -> None:
        super().__init__(targets, seed)
        if not 0 <= beta < 1:
            raise UsageError(f"`beta` must lie in [0, 1), but got {beta}.")
        self.beta = beta
        self.rebalances = beta > 0

    def class_probabilities(self) -> Tensor:
        """In proportion to n over the effective number."""
        return self.class_counts * class_balanced_weights(self.class_counts, self.beta)

"""Training on mixtures of two images: Mixup and CutMix."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from random import Random

import torch
from torch import Tensor

from lt_lightning.errors import UsageError, check_above_0, check_share
from lt_lightning.losses import Loss
from lt_lightning.seeds import Stream, seed_from


@dataclass(frozen=True)
class Mixed:
    """A batch of images that each show one class, or two.

    Attributes:
        images: ``(N, C, H, W)``.
        targets: Class of each image, ``(N,)``; with partners, that of a part of it.
        partners: Class of what was mixed in, ``(N,)``; ``None`` where nothing was.
        share: How much of an image belongs to ``targets``, from 0 to 1; the same for the whole batch.

    Raises:
        UsageError: If ``share`` is a number for each image, or a plain number outside [0, 1].
    """

    images: Tensor
    targets: Tensor
    partners: Tensor | None = None
    share: float = 1.0

    def __post_init__(self) -> None:
        shape = tuple(getattr(self.share, "shape", ()))
        plain = not isinstance(self.share, Tensor)  # to read a tensor's value is to wait for its device
        if shape or (plain and not 0 <= self.share <= 1):
            raise UsageError(
                f"`share` of `Mixed` must be one number for the whole batch, from 0 to 1, but got "
                f"{f'a tensor of shape {shape}' if shape else self.share}."
            )

    def loss(self, loss: Loss, logits: Tensor, features: Tensor) -> Tensor:
        """Loss for either class, weighed by its share of the image.

        With class weights each of the two is a weighted mean of its own. The partners are the batch's classes in
        another order, so both have one denominator, and their sum is the mean over all 2N pairs of an image and a
        class, each weighed by its class's weight times its share. What a loss averages per class it averages over
        mixed images.

        Args:
            loss: What is minimised.
            logits: ``(N, K)``.
            features: ``(N, D)``.
        """
        own: Tensor = loss(logits, self.targets, features)
        if self.partners is None:
            return own
        other: Tensor = loss(logits, self.partners, features)
        return self.share * own + (1 - self.share) * other


@dataclass(frozen=True)
class Draws:
    """Where a batch's random choices come from: its place in the run and nothing else.

    Attributes:
        shared: Source of numbers that are the same in every process, such as the share of the images.
        local: Source of what each process draws for its own images; on the CPU, so that all devices mix alike.
    """

    shared: Random
    local: torch.Generator

    @classmethod
    def at(cls, seed: int, epoch: int, batch: int, rank: int) -> "Draws":
        """The draws of one batch of one process."""
        place = (Stream.MIXING, seed, epoch, batch)
        return cls(Random(seed_from(*place)), torch.Generator().manual_seed(seed_from(*place, rank)))


class Mixing(ABC):
    """Base of what turns a batch of training images into mixtures."""

    @abstractmethod
    def mix(self, images: Tensor, targets: Tensor, draws: Draws) -> Mixed:
        """Mix a batch.

        Args:
            images: ``(N, C, H, W)``, floating point, augmented and normalised; not changed in place.
            targets: ``(N,)``, int64.
            draws: Where random choices come from.
        """

    def check(self, loss: Loss) -> None:
        """Refuse a loss that cannot be taken twice of one batch.

        Raises:
            UsageError: If the loss keeps account of what it has seen, as its persistent buffers show.
        """
        if loss.state_dict().keys() - dict(loss.named_parameters()).keys():
            raise UsageError(
                f"`model.mixing` {type(self).__name__} and `model.loss` {type(loss).__name__} do not go together: the "
                f"loss keeps account of the classes it has seen, and a mixed image would be counted as two; use "
                f"NoMixing, or another loss."
            )

    def check_images(self, images: Tensor) -> None:  # noqa: B027
        """Refuse images that cannot be mixed in this way, whatever is drawn; unless overridden, none are.

        Args:
            images: As :meth:`mix` gets them.

        Raises:
            UsageError: If they cannot.
        """


class NoMixing(Mixing):
    """Images as they are."""

    def mix(self, images: Tensor, targets: Tensor, draws: Draws) -> Mixed:  # noqa: ARG002
        """The batch, unchanged."""
        return Mixed(images, targets)

    def check(self, loss: Loss) -> None:
        """Every loss will do."""


class Mixup(Mixing):
    """Each image is averaged with another of its batch, pixel by pixel, with one share for all.

    Args:
        alpha: The share is drawn from Beta(α, α): uniformly for 1, near 0 or 1 for small α. 1 on CIFAR and 0.2 on
            ImageNet-LT in MiSLAS (Zhong et al. 2021).

    Raises:
        UsageError: If ``alpha`` is not above 0.

    References:
        Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        check_above_0(alpha=alpha)
        self.alpha = alpha

    def check_images(self, images: Tensor) -> None:
        """Refuse whole numbers, such as the indices of words, of which no average can be taken.

        Raises:
            UsageError: If they are.
        """
        if not images.is_floating_point():
            raise UsageError(
                f"`model.mixing` {type(self).__name__} averages images, but got them in {images.dtype}; have "
                f"`to_input` of the data give floats, or use NoMixing."
            )

    def mix(self, images: Tensor, targets: Tensor, draws: Draws) -> Mixed:
        """Average pairs of images."""
        self.check_images(images)
        share = draws.shared.betavariate(self.alpha, self.alpha)
        order = _partners(images, draws)
        return Mixed(torch.lerp(images[order], images, share), targets, targets[order], share)


class CutMix(Mixing):
    """Each image has a rectangle replaced by the same rectangle of another of its batch.

    The rectangle has the image's proportions and its centre anywhere in the image, so its edges may be cut off: the
    share is that of the pixels that stay, not the one drawn. One rectangle serves the whole batch.

    Args:
        alpha: The share that is to stay is drawn from Beta(α, α); 1, uniform, in the paper.
        probability: Share of the batches that are mixed. The authors' code has 0.5 on CIFAR, which is the default, and
            1 on ImageNet.

    Raises:
        UsageError: If ``alpha`` is not above 0, or ``probability`` does not lie in [0, 1].

    References:
        Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV 2019,
        eq. 1 and 2.
    """

    def __init__(self, alpha: float = 1.0, probability: float = 0.5) -> None:
        check_above_0(alpha=alpha)
        check_share(probability=probability)
        self.alpha = alpha
        self.probability = probability

    def check_images(self, images: Tensor) -> None:
        """Refuse what has no rectangles: vectors, sequences.

        Raises:
            UsageError: If there are fewer than four dimensions.
        """
        if images.ndim < 4:
            raise UsageError(
                f"`model.mixing` {type(self).__name__} pastes rectangles and needs images (N, C, H, W), but got "
                f"{tuple(images.shape)}; use Mixup."
            )

    def mix(self, images: Tensor, targets: Tensor, draws: Draws) -> Mixed:
        """Paste a rectangle of each image's partner into it."""
        self.check_images(images)
        if draws.shared.random() >= self.probability:
            return Mixed(images, targets)
        height, width = images.shape[-2:]
        side = sqrt(1 - draws.shared.betavariate(self.alpha, self.alpha))
        top, bottom = _span(height, int(height * side), draws.shared)
        left, right = _span(width, int(width * side), draws.shared)
        order = _partners(images, draws)
        mixed = images.clone()
        mixed[..., top:bottom, left:right] = images[..., top:bottom, left:right][order]
        share = 1 - (bottom - top) * (right - left) / (height * width)
        return Mixed(mixed, targets, targets[order], share)


class RandomMixing(Mixing):
    """One of several ways to mix, chosen anew for each batch.

    Args:
        mixings: What to choose from, such as Mixup and CutMix with probability 1.
        weights: How likely each is, up to a factor; ``None`` for equally likely.

    Raises:
        UsageError: If ``mixings`` is empty, or ``weights`` has another length, a negative entry or none above 0.
    """

    def __init__(self, mixings: Sequence[Mixing], weights: Sequence[float] | None = None) -> None:
        if not mixings:
            raise UsageError("`mixings` of `RandomMixing` must name at least one way to mix, but is empty.")
        chances = [1.0] * len(mixings) if weights is None else [float(weight) for weight in weights]
        if len(chances) != len(mixings) or not min(chances) >= 0 or not 0 < sum(chances) < float("inf"):
            raise UsageError(
                f"`weights` of `RandomMixing` must hold {len(mixings)} numbers of at least 0, one for each of "
                f"`mixings` and not all 0, but got {chances}."
            )
        self.mixings = list(mixings)
        self.weights = chances

    def check(self, loss: Loss) -> None:
        """Refuse a loss that one of ``mixings`` refuses.

        Raises:
            UsageError: If one does.
        """
        for mixing in self.mixings:
            mixing.check(loss)

    def check_images(self, images: Tensor) -> None:
        """Refuse images that one of ``mixings`` refuses, which might be drawn only late in a run.

        Raises:
            UsageError: If one does.
        """
        for mixing in self.mixings:
            mixing.check_images(images)

    def mix(self, images: Tensor, targets: Tensor, draws: Draws) -> Mixed:
        """Mix in a way that is drawn at random."""
        self.check_images(images)
        (chosen,) = draws.shared.choices(self.mixings, self.weights)
        return chosen.mix(images, targets, draws)


def _partners(images: Tensor, draws: Draws) -> Tensor:
    """Which image each one is mixed with: a random order of the batch, ``(N,)``, on the images' device."""
    # In pinned memory, so that no process waits for the copy.
    order = torch.randperm(len(images), generator=draws.local, pin_memory=images.is_cuda)
    return order.to(images.device, non_blocking=True)


def _span(size: int, length: int, random: Random) -> tuple[int, int]:
    """First and last + 1 of ``length`` positions about a random centre, as far as they lie within ``size``."""
    start = random.randrange(size) - length // 2
    return max(start, 0), min(start + length, size)

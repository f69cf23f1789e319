"""The contract of every training sampler."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from copy import copy

import torch
from torch import Tensor
from torch.utils.data import Sampler

from lt_lightning.errors import UsageError, check_begun, refusing_abstract_classes
from lt_lightning.functional.checks import kind_of
from lt_lightning.wording import settings_of


class EpochSampler(Sampler[int], ABC):
    """Base of all training samplers: a pure function from ``(seed, epoch)`` to a list of indices.

    Args:
        targets: Class of each training image, shape ``(N,)``.
        seed: Seed of the draws. The order of an epoch depends on it and on the epoch, on nothing else.

    Raises:
        UsageError: If ``targets`` are no whole numbers from 0 on, one per image, or a class between 0 and the largest
            target has no image.
    """

    rebalances: bool = False
    """Whether classes appear in other proportions than the training set has them."""

    epochs: int | None = None
    """Epochs of the whole training, for samplers that change in its course; :meth:`set_epochs` fills it in."""

    def __init__(self, targets: Sequence[int] | Tensor, seed: int = 0) -> None:
        given = torch.as_tensor(targets)
        self.targets = given.to(torch.int64)
        if given.ndim != 1 or len(given) == 0 or bool((self.targets != given).any()) or int(self.targets.min()) < 0:
            raise UsageError(
                f"`targets` must hold the class of each training image, (N,), whole numbers from 0 on, but got shape "
                f"{tuple(given.shape)}{f' from {given.min():g} to {given.max():g}' if given.numel() else ''}."
            )
        self.seed = seed
        self.epoch = 0
        self.class_counts = torch.bincount(self.targets)
        if bool((self.class_counts == 0).any()):
            empty = torch.nonzero(self.class_counts == 0).flatten().tolist()
            raise UsageError(f"`targets` has no image of class {empty[0]}; a sampler needs one of each class at least.")

    @abstractmethod
    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw the indices of epoch ``self.epoch``, shape ``(len(self),)``, int64, by ``generator`` alone."""

    def indices(self, epoch: int) -> Tensor:
        """The global list of one epoch, shape ``(len(self),)``, the same in every process.

        Raises:
            UsageError: If :meth:`draw` gives something else, or the first epoch has another length.
        """
        # Distinct streams for neighbouring seeds and epochs: (0, 1) must not equal (1, 0).
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch * 7_919 + 17) % 2**63)
        self._check_length(epoch)
        asked = self._in_epoch(epoch)
        return asked._checked(asked.draw(generator))

    def _in_epoch(self, epoch: int) -> "EpochSampler":
        """A copy in another epoch: looking ahead must not change the epoch of a run."""
        asked = copy(self)
        asked.epoch = epoch
        return asked

    def _check_length(self, epoch: int) -> None:
        first, length = len(self._in_epoch(0)), len(self._in_epoch(epoch))
        if length != first:
            raise UsageError(
                f"`data.sampler` {type(self).__name__} shows {first} images in epoch 0 and {length} in epoch {epoch}, "
                f"but an epoch has as many steps as the first; have `__len__` give one number for all epochs."
            )

    def _checked(self, drawn: object) -> Tensor:
        name = f"`draw` of `{type(self).__name__}`"
        if not isinstance(drawn, Tensor) or drawn.shape != (len(self),) or drawn.dtype != torch.int64:
            raise UsageError(f"{name} must give indices of shape ({len(self)},), int64, but gave {kind_of(drawn)}.")
        if len(drawn) and not 0 <= int(drawn.min()) <= int(drawn.max()) < len(self.targets):
            raise UsageError(
                f"{name} must give indices from 0 to {len(self.targets) - 1}, of the training images, but gave "
                f"{int(drawn.min())} to {int(drawn.max())}."
            )
        return drawn

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each one."""
        self.epoch = epoch

    def set_epochs(self, epochs: int | None) -> None:
        """Fill in the length of training, ``None`` where it is unknown; a length that the user gave stays.

        Raises:
            UsageError: If an epoch has another length than the first.
        """
        if self.epochs is None:
            self.epochs = epochs
        for epoch in {1, epochs - 1} if epochs and epochs > 1 else ():  # the others as they are drawn
            self._check_length(epoch)

    def __iter__(self) -> Iterator[int]:
        yield from self.indices(self.epoch).tolist()

    def __len__(self) -> int:
        return len(self.targets)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(images={len(self.targets)}, classes={len(self.class_counts)}, {settings_of(self)})"
        )


def make_sampler(factory: Callable[[Tensor, int], EpochSampler], targets: Tensor, seed: int) -> EpochSampler:
    """Make a sampler and check it.

    Args:
        factory: Makes it from ``(targets, seed)``.
        targets: Class of each training image, ``(N,)``.
        seed: Seed of its draws.

    Raises:
        UsageError: If it lacks methods, or has left its base class's ``__init__`` out.
    """
    with refusing_abstract_classes():
        made = factory(targets, seed)
    if isinstance(made, EpochSampler):
        check_begun("data.sampler", made, "targets", "(targets, seed)")
    return made


def targets_from_counts(class_counts: Sequence[int]) -> Tensor:
    """Targets of a training set before its images are read, ``(N,)``, class by class: a sampler can be tried on them.

    Args:
        class_counts: Training images per class, length K.
    """
    return torch.repeat_interleave(torch.tensor(class_counts, dtype=torch.int64))


def places_in_class(classes: Tensor) -> Tensor:
    """Place of each image among those of its class, ``(N,)``, int64: how many earlier ones are of the same.

    Args:
        classes: Class of each image, ``(N,)``, int64, 0 or more.
    """
    counts = torch.bincount(classes)
    by_class = torch.argsort(classes, stable=True)
    places = torch.empty_like(by_class)
    places[by_class] = torch.arange(len(classes)) - (torch.cumsum(counts, 0) - counts)[classes[by_class]]
    return places


class ClassIndex:
    """Finds the j-th image of a class, for many classes at once: the inverse of :func:`places_in_class`.

    Args:
        targets: Class of each image, ``(N,)``.
        class_counts: Images of each class, ``(K,)``.
    """

    def __init__(self, targets: Tensor, class_counts: Tensor) -> None:
        self._by_class = torch.argsort(targets, stable=True)
        self._first = torch.cumsum(class_counts, 0) - class_counts

    def images(self, classes: Tensor, places: Tensor) -> Tensor:
        """Indices of images, ``(M,)``.

        Args:
            classes: Class of each, ``(M,)``.
            places: Place of each among its class's images, ``(M,)``, from 0 to the class's count - 1.
        """
        return self._by_class[self._first[classes] + places]

"""Whether a classifier numbers its classes in another order than the targets."""

from dataclasses import dataclass

import torch
from torch import Tensor

_FEWEST, _MOST = 5, 2 / 3
"""Samples of a class that is exchanged for another, and the share of them above which most have the other's name."""


@dataclass(frozen=True)
class Agreement:
    """How far predictions agree with targets.

    Attributes:
        accuracy: Share of all samples that are right.
        recall: The same share of each class, mean over classes with samples.
        kappa: Cohen's: the share of all samples that are right by more than chance, of those that chance would get
            wrong. About 0 for predictions that know nothing of the targets, however often they name the largest class.
    """

    accuracy: float
    recall: float
    kappa: float


def agreement(predicted: Tensor, targets: Tensor, num_classes: int) -> Agreement:
    """How far predictions agree with targets.

    Args:
        predicted: Class predicted for each sample, ``(N,)``, int64.
        targets: Class of each sample, ``(N,)``, int64.
        num_classes: K.
    """
    total, said = (torch.bincount(classes, minlength=num_classes).double() for classes in (targets, predicted))
    right = torch.bincount(targets[predicted == targets], minlength=num_classes)
    accuracy = float(right.sum() / total.sum())
    by_chance = float((total * said).sum() / total.sum() ** 2)
    kappa = (accuracy - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0
    return Agreement(accuracy, float((right[total > 0] / total[total > 0]).mean()), kappa)


def agreement_if_reordered(predicted: Tensor, targets: Tensor, num_classes: int) -> tuple[Agreement, Agreement, Tensor]:
    """Agreement with classes as they are numbered, and with predicted classes renamed to the likeliest order.

    Each half of the images is scored with the order found on the other half, so that chance gains nothing.

    Args:
        predicted: Class predicted for each sample, ``(N,)``, int64.
        targets: Class of each sample, ``(N,)``, int64.
        num_classes: K.

    Returns:
        Both, and the :func:`likeliest_order` by all samples.
    """
    halves = _halves(targets)
    renamed = torch.empty_like(predicted)
    for judging, saying in (halves, halves[::-1]):
        renamed[judging] = likeliest_order(predicted[saying], targets[saying], num_classes)[predicted[judging]]
    plain, better = (agreement(found, targets, num_classes) for found in (predicted, renamed))
    return plain, better, likeliest_order(predicted, targets, num_classes)


def exchanged_classes(predicted: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    """What each predicted class means where a few have been exchanged: most of A are called B, and most of B A.

    Or round a longer circle. In the right order this hardly occurs: tail classes are called head classes, but not the
    other way round. It must be so in each half of the samples, and of classes of few samples nothing is said.

    Args:
        predicted: Class predicted for each sample, ``(N,)``, int64.
        targets: Class of each sample, ``(N,)``, int64.
        num_classes: K.

    Returns:
        A permutation, ``(K,)``, int64, in which all other classes mean themselves.
    """
    enough = torch.bincount(targets, minlength=num_classes) >= _FEWEST
    one, other = (_called(predicted[half], targets[half], num_classes) for half in _halves(targets))
    labels = ((one == other) & (one >= 0) & enough).nonzero().flatten().tolist()
    called = {label: int(one[label]) for label in labels}
    while open_ends := set(called) ^ set(called.values()):
        called = {label: name for label, name in called.items() if not open_ends & {label, name}}
    meant = list(range(num_classes))
    for label, name in called.items():
        meant[name] = label
    return torch.tensor(meant)


def likeliest_order(predicted: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    """What each predicted class seems to mean where no two mean the same.

    Pairs are chosen greedily, those first in which the predicted class gets the largest share of the other's images.
    Classes left over mean themselves, or else another one left over.

    Args:
        predicted: Class predicted for each sample, ``(N,)``, int64.
        targets: Class of each sample, ``(N,)``, int64.
        num_classes: K.

    Returns:
        A permutation, ``(K,)``, int64.
    """
    target, said, share = _shares(predicted, targets, num_classes)
    best, itself = share.argsort(descending=True, stable=True), list(range(num_classes))
    meant: dict[int, int] = {}
    taken: set[int] = set()
    for row, label in zip([*said[best].tolist(), *itself], [*target[best].tolist(), *itself], strict=True):
        if row not in meant and label not in taken:
            meant[row] = label
            taken.add(label)
    left = iter(label for label in itself if label not in taken)
    return torch.tensor([meant[row] if row in meant else next(left) for row in itself])


def _halves(targets: Tensor) -> list[Tensor]:
    return [torch.arange(start, len(targets), 2) for start in (0, 1)]


def _called(predicted: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    """What most samples of a class are called, ``(K,)``; -1 where no name is that of most."""
    target, said, share = _shares(predicted, targets, num_classes)
    called = torch.full((num_classes,), -1)
    called[target[share > _MOST]] = said[share > _MOST]
    return called


def _shares(predicted: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of a class and what is predicted for it, with the share of its samples; a tie goes to the class itself."""
    # Only pairs that occur: a table of all would have K × K entries.
    pairs, number = torch.unique(targets * num_classes + predicted, return_counts=True)
    target, said = pairs // num_classes, pairs % num_classes
    share = number.double() / torch.bincount(targets, minlength=num_classes)[target]
    return target, said, share + 1e-9 * (target == said)

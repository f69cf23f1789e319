"""Whether a classifier's classes stand in another order than the targets'."""

import torch
from torch import Tensor


def recall_if_reordered(predicted: Tensor, targets: Tensor, num_classes: int) -> tuple[float, float, Tensor]:
    """Recall as classes are numbered, and as it would be if each predicted class meant the one it is predicted for.

    That is the class of which it gets the largest share of images. One half of the images says which that is, and the
    other half judges, each in turn, so that chance gains nothing.

    Args:
        predicted: Class predicted for each sample, ``(N,)``, int64.
        targets: Class of each sample, ``(N,)``, int64.
        num_classes: K.

    Returns:
        Both recalls, means over classes with samples, and, by all samples, the class that each predicted one seems to
        mean, ``(K,)``, int64: itself where it is never predicted.
    """
    halves = [torch.arange(start, len(targets), 2) for start in (0, 1)]
    renamed = torch.empty_like(predicted)
    for judging, saying in (halves, halves[::-1]):
        renamed[judging] = _meant(predicted[saying], targets[saying], num_classes)[predicted[judging]]
    recalls = [_mean_recall(found, targets, num_classes) for found in (predicted, renamed)]
    return recalls[0], recalls[1], _meant(predicted, targets, num_classes)


def likeliest_order(predicted: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    """What each predicted class seems to mean where no two mean the same.

    Of all pairs those go first in which the predicted class gets the largest share of the other's images. Classes that
    are left over mean themselves, or what else is left over.

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


def _meant(predicted: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    target, said, share = _shares(predicted, targets, num_classes)
    largest = share.new_zeros(num_classes).scatter_reduce_(0, said, share, "amax")
    first = share == largest[said]
    meant = torch.arange(num_classes)
    return meant.scatter_reduce_(0, said[first], target[first], "amin", include_self=False)


def _shares(predicted: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of a class and what is predicted for it, with the share of its samples, of equal ones itself the larger."""
    # Pairs that occur: a table of all would have K × K entries.
    pairs, number = torch.unique(targets * num_classes + predicted, return_counts=True)
    target, said = pairs // num_classes, pairs % num_classes
    share = number.double() / torch.bincount(targets, minlength=num_classes)[target]
    return target, said, share + 1e-9 * (target == said)


def _mean_recall(predicted: Tensor, targets: Tensor, num_classes: int) -> float:
    total = torch.bincount(targets, minlength=num_classes)
    right = torch.bincount(targets[predicted == targets], minlength=num_classes)
    return float((right[total > 0] / total[total > 0]).mean())

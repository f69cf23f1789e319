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


def _meant(predicted: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    # Pairs that occur: a table of all would have K × K entries.
    pairs, number = torch.unique(targets * num_classes + predicted, return_counts=True)
    target, said = pairs // num_classes, pairs % num_classes
    share = number.double() / torch.bincount(targets, minlength=num_classes)[target]
    share += 1e-9 * (target == said)  # of equals itself
    largest = share.new_zeros(num_classes).scatter_reduce_(0, said, share, "amax")
    first = share == largest[said]
    meant = torch.arange(num_classes)
    return meant.scatter_reduce_(0, said[first], target[first], "amin", include_self=False)


def _mean_recall(predicted: Tensor, targets: Tensor, num_classes: int) -> float:
    total = torch.bincount(targets, minlength=num_classes)
    right = torch.bincount(targets[predicted == targets], minlength=num_classes)
    return float((right[total > 0] / total[total > 0]).mean())

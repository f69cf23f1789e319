"""Figures of one head on one split's features."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lt_lightning.features import Features
from lt_lightning.functional import calibration_error, class_accuracies, group_accuracies, group_of, top_class
from lt_lightning.functional.calibration import reliability_bins
from lt_lightning.functional.precision import widest_float
from lt_lightning.heads import Head, LinearHead, MaxNormHead
from lt_lightning.losses import Loss
from lt_lightning.retraining.own_parts import unshared

_BINS = 15
ROWS = 4096
"""Images per product: K = 8142 logits of these are 133 MB."""
_ENTRIES = 2**20  # logits per product of several heads: 4 MB stay near the processor
_LINEAR = (LinearHead, MaxNormHead)  # whose prediction is one product; no derived classes, which may do more


@dataclass(frozen=True)
class Predictions:
    """What a head says of each image of a split.

    Attributes:
        classes: Class predicted, ``(N,)``, int64.
        confidence: Its probability, ``(N,)``, fp32.
        figures: Accuracies by group, expected calibration errors, and counts per class; plain values.
    """

    classes: Tensor
    confidence: Tensor
    figures: dict[str, Any]


def predict(head: Head, features: Features, device: torch.device) -> Tensor:
    """Logits of a split's images, ``(N, K)``, on ``device``."""
    parts = predict_parts(head, features, device)
    first = next(parts)
    logits = first.new_empty(len(features), first.shape[1])  # filled at once: parts would lie beside a copy of them all
    for rows, part in zip(torch.split(logits, ROWS), chain([first], parts), strict=True):
        rows.copy_(part)
    return logits


@torch.inference_mode()
def predict_parts(head: Head, features: Features, device: torch.device) -> Iterator[Tensor]:
    """The same, :data:`ROWS` images at a time: all of them may be more than memory holds."""
    for rows in torch.split(features.values[0], ROWS):
        yield _predict(head, rows.to(device).float())


def _predict(head: Head, rows: Tensor) -> Tensor:
    return head.predict(unshared(rows, head))


def predicted_classes(head: Head, features: Features, device: torch.device) -> Tensor:
    """Class that a head predicts of each image, ``(N,)``, int64, on the CPU."""
    return torch.cat([top_class(part).cpu() for part in predict_parts(head, features, device)])


@torch.inference_mode()
def count_correct(heads: Sequence[Head], features: Features, device: torch.device) -> list[Tensor | None]:
    """How many images of each class each head gets right, in one pass over the features.

    Linear heads share products, and no more logits are kept than one product gives.

    Args:
        heads: In evaluation mode, on ``device``, of one shape.
        features: Of a split.
        device: Where to compute.

    Returns:
        For each head ``(K,)``, int64, on the CPU; ``None`` where a logit is infinite or NaN.
    """
    classes = heads[0].num_classes
    correct = torch.zeros(len(heads), classes, dtype=torch.int64, device=device)
    finite = torch.ones(len(heads), dtype=torch.bool, device=device)
    teams = list(_teams(heads, max(1, _ENTRIES // (min(ROWS, len(features)) * classes))))
    for rows, targets in zip(torch.split(features.values[0], ROWS), torch.split(features.targets, ROWS), strict=True):
        rows, targets = rows.to(device).float(), targets.to(device)
        for places, forward in teams:
            logits = forward(rows).view(len(rows) * len(places), classes)
            right = top_class(logits).view(len(rows), -1) == targets.unsqueeze(1)
            correct[places] += correct.new_zeros(classes, len(places)).index_add_(0, targets, right.long()).t()
            if not bool(logits.sum().isfinite()):  # rarely, for asking each logit takes longer than the product
                finite[places] &= logits.isfinite().all(dim=1).view(len(rows), -1).all(dim=0)
    return [one if good else None for one, good in zip(correct.cpu(), finite.tolist(), strict=True)]


def _teams(heads: Sequence[Head], most: int) -> Iterator[tuple[list[int], Callable[[Tensor], Tensor]]]:
    """Places of heads, and what gives all their logits, ``(N, D)`` to ``(N, H · K)``."""
    linear = [place for place, head in enumerate(heads) if type(head) in _LINEAR]
    for start in range(0, len(linear), most):
        places = linear[start : start + most]
        weight, bias = (_joined([getattr(heads[place], name) for place in places]) for name in ("weight", "bias"))
        yield places, partial(F.linear, weight=weight, bias=bias)
    for place, head in enumerate(heads):
        if place not in linear:
            yield [place], partial(_predict, head)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """As `torch.cat`, which copies also a single one: weights of 8142 classes are 67 MB a head."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def share_correct(heads: Sequence[Head], features: Features, device: torch.device) -> Tensor:
    """Share of heads, of one method's seeds, that are right about each image, ``(N,)``, fp64, on the CPU."""
    right = torch.zeros(len(features), dtype=torch.float64)
    for head in heads:
        right += predicted_classes(head, features, device) == features.targets.cpu()
    return right / len(heads)


def accuracies(
    correct: Tensor, targets: Tensor, class_counts: list[int], thresholds: tuple[int, int]
) -> dict[str, float]:
    """Accuracy over all classes and over groups.

    Args:
        correct: Images of each class that are right, ``(K,)``, of :func:`count_correct`.
        targets: Class of each image, ``(N,)``, int64.
        class_counts: Training images per class.
        thresholds: ``(low, high)`` training images that separate few, medium and many.
    """
    total = torch.bincount(targets, minlength=len(class_counts))
    found = group_accuracies(correct, total, group_of(class_counts, thresholds))
    return {name: value.item() for name, value in found.items()}


def mean_accuracies(
    heads: Sequence[Head],
    features: Features,
    class_counts: list[int],
    thresholds: tuple[int, int],
    device: torch.device,
) -> list[float]:
    """Accuracy of each head on a split, the mean over classes that have images; NaN where a logit is infinite or NaN.

    Args:
        heads: As of :func:`count_correct`.
        features: Of the split.
        class_counts: Training images per class.
        thresholds: ``(low, high)`` training images that separate few, medium and many.
        device: Where to compute.
    """
    return [
        float("nan") if correct is None else accuracies(correct, features.targets, class_counts, thresholds)["all"]
        for correct in count_correct(heads, features, device)
    ]


@torch.no_grad()
def evaluate(
    logits: Iterable[Tensor],
    targets: Tensor,
    loss: Loss,
    class_counts: list[int],
    thresholds: tuple[int, int],
    scaled_by: float | None,
) -> Predictions:
    """Everything that is said of a head on a split, computed where its logits are; results are on the CPU.

    Args:
        logits: ``(n, K)`` of some images after the other, in the order of ``targets``, as :func:`predict_parts` gives
            them.
        targets: ``(N,)``, int64, on the CPU.
        loss: What the head was trained with, on the device of the logits; it makes probabilities.
        class_counts: Training images per class.
        thresholds: ``(low, high)`` training images that separate few, medium and many.
        scaled_by: A temperature; ``None`` where there was nothing to fit one on, or no likelihood to fit it by.
    """
    classes, confidences, start = [], [], 0
    bins: list[list[Tensor]] = [[], []]
    for part in logits:
        own = targets[start : start + len(part)].to(part.device)
        start += len(part)
        probabilities = loss.probabilities(unshared(part, loss))
        top = top_class(part)
        classes.append(top.cpu())
        confidences.append(probabilities.gather(1, top.unsqueeze(1)).squeeze(1).float().cpu())
        bins[0].append(_bins(probabilities, own, top))
        if scaled_by is not None:
            bins[1].append(_bins(loss.probabilities(part / scaled_by), own, top))
    predicted = torch.cat(classes)
    total = torch.bincount(targets, minlength=len(class_counts))
    correct = torch.bincount(targets[predicted == targets], minlength=len(class_counts))
    ece, scaled = (float(calibration_error(torch.stack(each).sum(dim=0))[0]) if each else None for each in bins)
    figures = {
        "accuracy": accuracies(correct, targets, class_counts, thresholds),
        "ece": ece,
        "temperature": scaled_by,
        "ece_scaled": scaled,
        "per_class": {
            "correct": correct.tolist(),
            "total": total.tolist(),
            "accuracy": class_accuracies(correct, total).tolist(),
        },
    }
    return Predictions(predicted, torch.cat(confidences), figures)


def _bins(probabilities: Tensor, targets: Tensor, predicted: Tensor) -> Tensor:
    group = torch.zeros(probabilities.shape[1], dtype=torch.int64, device=probabilities.device)
    return reliability_bins(probabilities, targets, group, 1, _BINS, widest_float(probabilities.device), predicted)

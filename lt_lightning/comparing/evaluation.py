"""Figures of one head on one split's features."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lt_lightning.features import Features
from lt_lightning.functional import (
    calibration_error,
    class_accuracies,
    fit_temperature,
    group_accuracies,
    group_of,
    reliability_bins,
    top_class,
    widest_float,
)
from lt_lightning.heads import Head
from lt_lightning.losses import Loss
from lt_lightning.losses.form import form_of

_BINS = 15
_ROWS = 4096  # per product: K = 8142 logits of these are 133 MB


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
    """Logits of a split's images, ``(N, K)``, on the CPU."""
    rows = features.values[0]
    with torch.inference_mode():
        return torch.cat([head.predict(part.to(device).float()).cpu() for part in torch.split(rows, _ROWS)])


def accuracies(
    logits: Tensor, targets: Tensor, class_counts: list[int], thresholds: tuple[int, int]
) -> dict[str, float]:
    """Accuracy over all classes and over groups, of logits ``(N, K)``."""
    correct, total = _counts(top_class(logits), targets, len(class_counts))
    found = group_accuracies(correct, total, group_of(class_counts, thresholds))
    return {name: value.item() for name, value in found.items()}


def temperature(logits: Tensor, targets: Tensor, loss: Loss) -> float:
    """The temperature that suits images which trained nothing."""
    return fit_temperature(logits * loss.logit_scale, targets, form_of(loss) == "sigmoid")


def evaluate(
    logits: Tensor,
    targets: Tensor,
    loss: Loss,
    class_counts: list[int],
    thresholds: tuple[int, int],
    scaled_by: float | None,
) -> Predictions:
    """Everything that is said of a head on a split.

    Args:
        logits: ``(N, K)``, of ``head.predict``.
        targets: ``(N,)``, int64.
        loss: What the head was trained with; it makes probabilities.
        class_counts: Training images per class.
        thresholds: ``(low, high)`` training images that separate few, medium and many.
        scaled_by: A temperature; ``None`` where there was nothing to fit one on.
    """
    classes = top_class(logits)
    correct, total = _counts(classes, targets, len(class_counts))
    masks = group_of(class_counts, thresholds)
    probabilities = loss.probabilities(logits)
    groups = group_accuracies(correct, total, masks)
    figures = {
        "accuracy": {name: value.item() for name, value in groups.items()},
        "ece": _ece(probabilities, targets),
        "temperature": scaled_by,
        "ece_scaled": None if scaled_by is None else _ece(loss.probabilities(logits / scaled_by), targets),
        "per_class": {
            "correct": correct.tolist(),
            "total": total.tolist(),
            "accuracy": class_accuracies(correct, total).tolist(),
        },
    }
    confidence = probabilities.gather(1, classes.unsqueeze(1)).squeeze(1)
    return Predictions(classes, confidence.float(), figures)


def _counts(classes: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    total = torch.bincount(targets, minlength=num_classes)
    return torch.bincount(targets[classes == targets], minlength=num_classes), total


def _ece(probabilities: Tensor, targets: Tensor) -> float:
    group = torch.zeros(probabilities.shape[1], dtype=torch.int64)
    bins = reliability_bins(probabilities, targets, group, 1, _BINS, widest_float(probabilities.device))
    return float(calibration_error(bins)[0])

"""The metrics of long-tailed recognition over one split, and what a results file says of them."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from torch import Tensor, nn

from lt_lightning.functional import GROUPS, class_accuracies, top_class
from lt_lightning.heads import Head
from lt_lightning.metrics import CalibrationError, GroupAccuracy, LogitsStatistics, weight_norms
from lt_lightning.modules.divergence import has_nan_or_inf

TOP_K = (3, 5)
"""k of the top-k accuracies besides top-1: ELM's tables of large sets have 3 and 5, most papers only 5."""


class Evaluation(nn.Module):
    """Accuracy per class and group, statistics of the logits and calibration, updated batch by batch.

    Args:
        class_counts: Training images per class.
        group_thresholds: ``(low, high)`` training images that separate few, medium and many.
    """

    def __init__(self, class_counts: Sequence[int], group_thresholds: tuple[int, int]) -> None:
        super().__init__()
        self.accuracy = GroupAccuracy(class_counts, group_thresholds, TOP_K)
        self.logits_statistics = LogitsStatistics(class_counts, group_thresholds)
        self.calibration = CalibrationError(class_counts, group_thresholds)
        self.nan_or_inf: Tensor | bool = False
        """Whether logits of this process were NaN or infinite."""

    def update(self, logits: Tensor, probabilities: Tensor, targets: Tensor) -> None:
        """Count one batch.

        Args:
            logits: ``(N, K)``.
            probabilities: What the loss makes of them, ``(N, K)``.
            targets: ``(N,)``, int64.
        """
        self.nan_or_inf = self.nan_or_inf | has_nan_or_inf(logits)
        self.accuracy.update(logits, targets)
        self.logits_statistics.update(logits, targets)
        self.calibration.update(probabilities, targets, top_class(logits))

    def scalars(self) -> dict[str, Tensor]:
        """What is logged: accuracies and calibration error, over all processes."""
        return {**self.accuracy.compute(), "ece": self.calibration.compute()["all"]}

    def figures(self) -> dict[str, int]:
        """Names of :meth:`scalars`, each with how many classes it is about, without computing any."""
        number, sizes = self.accuracy.num_classes, self.accuracy.group_sizes
        others = ("micro", "harmonic", "geometric", "worst", *(f"top{k}" for k in self.accuracy.top_k), "ece")
        return {"all": number, **sizes, **dict.fromkeys(others, number)}

    def record(self, head: Head) -> dict[str, Any]:
        """Everything measured as plain values, over all processes.

        Args:
            head: The classifier, whose weight norms are added if it has weights per class.
        """
        correct, total = self.accuracy.counts()
        per_class = {
            "correct": correct,
            "total": total,
            "accuracy": class_accuracies(correct, total),
            **self.logits_statistics.compute(),
        }
        # A head need not have a weight vector per class, and after all the training its own `to_linear` may fail.
        with suppress(Exception):
            per_class["weight_norm"] = weight_norms(head)
        return {
            "accuracy": _plain(self.accuracy.compute()),
            "calibration": {
                "ece": _plain(self.calibration.compute()),
                "bins": {name: values.tolist() for name, values in self.calibration.reliability().items()},
            },
            "group_sizes": self._group_sizes(total),
            "classes_without_images": int((total == 0).sum()),
            "per_class": {name: values.tolist() for name, values in per_class.items()},
            "logits": {
                name: _plain(self.logits_statistics.by_group(per_class[name]))
                for name in ("logits_magnitude", "regularized_std")
            },
        }

    def _group_sizes(self, total: Tensor) -> dict[str, int]:
        """Classes of each group that have images here, of which alone its figures are means."""
        tested = self.accuracy.masks & (total > 0)
        return dict(zip(GROUPS, tested.sum(dim=1).tolist(), strict=True))

    def reset(self) -> None:
        """Forget what was counted."""
        for metric in (self.accuracy, self.logits_statistics, self.calibration):
            metric.reset()
        self.nan_or_inf = False


def _plain(values: dict[str, Tensor]) -> dict[str, float]:
    return {name: value.item() for name, value in values.items()}

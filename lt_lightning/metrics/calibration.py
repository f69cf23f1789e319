"""Expected calibration error over all images and those of each group of classes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lt_lightning.errors import UsageError, check_at_least_1
from lt_lightning.functional.calibration import calibration_error, reliability_bins
from lt_lightning.functional.checks import check_targets, check_width
from lt_lightning.functional.groups import GROUPS
from lt_lightning.functional.precision import at_least_fp32
from lt_lightning.metrics.base import ExactMetric, group_masks


class CalibrationError(ExactMetric):
    """Expected calibration error (ECE) of the predicted class, with the reliability diagrams' bins.

    Fed with the probabilities that belong to the loss (``loss.probabilities(logits)``), so that a margin loss's scale
    counts and one-vs-all losses give sigmoids. An image belongs to the group of its true class. The state is three
    numbers per group and bin in fp64, summed over processes; nothing waits for the host before they are looked at.

    Args:
        class_counts: Training images per class, length K; they decide the groups.
        group_thresholds: ``(low, high)``: more than ``high`` training images is "many", fewer than ``low`` "few".
        num_bins: Bins of equal width in [0, 1]; 15 is Guo et al.'s.
        options: Of every torchmetrics metric, such as ``sync_on_compute``.

    Raises:
        UsageError: If a count is negative or no whole number, the thresholds do not rise from 0, or ``num_bins`` is
            below 1.

    References:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """

    higher_is_better = False

    bins: Tensor
    groups: Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        group_thresholds: tuple[int, int] = (20, 100),
        num_bins: int = 15,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_at_least_1(num_bins=num_bins)
        masks = group_masks(class_counts, group_thresholds)
        self.num_classes = masks.shape[1]
        self.num_bins = num_bins
        # argmax has no kernel for bool everywhere
        self.register_buffer("groups", masks.to(torch.uint8).argmax(dim=0), persistent=False)
        self.add_state("bins", torch.zeros(3, len(GROUPS), num_bins, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, probabilities: Tensor, targets: Tensor, predicted: Tensor | None = None) -> None:
        """Count a batch.

        Args:
            probabilities: ``(N, K)``, in [0, 1]; logits are refused by :meth:`compute`, which knows their sums.
            targets: ``(N,)``, int64.
            predicted: Class predicted, ``(N,)``, int64, by the logits: sigmoids of several large ones are all 1.
                ``None`` for the first class of the largest probability.

        Raises:
            UsageError: If ``probabilities`` has another number of classes, or ``targets`` or ``predicted`` another
                shape or type.
        """
        check_width(probabilities, self.num_classes, "probabilities")
        check_targets(targets, len(probabilities))
        if predicted is not None:
            check_targets(predicted, len(probabilities), "predicted")
        probabilities, dtype = at_least_fp32(probabilities), self.bins.dtype
        found = reliability_bins(probabilities, targets, self.groups, len(GROUPS), self.num_bins, dtype, predicted)
        self.bins = self.bins + found

    def compute(self) -> dict[str, Tensor]:
        """Errors in [0, 1], as scalars: ``all`` (over images), ``many``, ``medium``, ``few``; NaN without images.

        Raises:
            UsageError: If what was counted is no probabilities.
        """
        self._check_range()
        overall = self.bins.sum(dim=1, keepdim=True)
        errors = calibration_error(torch.cat((overall, self.bins), dim=1))
        return dict(zip(("all", *GROUPS), errors.unbind(), strict=True))

    def reliability(self) -> dict[str, Tensor]:
        """The bins over all groups and processes (each process must call it), for a reliability diagram.

        Returns:
            ``images``, ``confidence`` and ``accuracy`` of each bin, ``(B,)``; the latter two NaN for an empty bin.

        Raises:
            UsageError: If what was counted is no probabilities.
        """
        with self.over_processes():
            self._check_range()
            number, confidence, correct = self.bins.sum(dim=1).unbind()
        return {"images": number.to(torch.int64), "confidence": confidence / number, "accuracy": correct / number}

    def _check_range(self) -> None:
        """Refuse logits: confidences beyond [0, 1] move the mean of the first or the last bin out of it."""
        number, confidence, _ = self.bins.unbind()
        slack = 1e-3 * number  # sums round
        within = (confidence >= -slack) & (confidence <= number + slack) | confidence.isnan()
        if not bool(within.all()):
            means = confidence[~within] / number[~within]
            raise UsageError(
                f"`probabilities` of `CalibrationError` must lie in [0, 1], but those of the classes predicted have a "
                f"mean of {means[0].item():.3g} in a bin; give it `loss.probabilities(logits)`, not logits."
            )

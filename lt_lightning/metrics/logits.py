"""Logits Magnitude and Regularized Standard Deviation."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lt_lightning.functional.checks import check_targets, check_width
from lt_lightning.functional.groups import GROUPS, group_means
from lt_lightning.functional.logits import logit_moments, logits_magnitude, own_sums, standard_deviation
from lt_lightning.functional.precision import at_least_fp32
from lt_lightning.metrics.base import ExactMetric, group_masks


class LogitsStatistics(ExactMetric):
    """LORT's two measures of a class's logits, as they are and with the mean of each row removed.

    - Logits Magnitude of class i: mean of logit i over class i's samples minus its mean over all others.
    - Regularized Standard Deviation: standard deviation of logit i over all samples, as the definition is read here,
      divided by the Logits Magnitude.

    Adding one vector to all rows of a classifier changes neither softmax nor accuracy, but moves both; the centred
    versions do not move. The state is seven numbers per class in fp64, summed over processes.

    Args:
        class_counts: Training images per class, length K; they decide the groups of :meth:`by_group`.
        group_thresholds: ``(low, high)``: more than ``high`` training images is "many", fewer than ``low`` "few".
        options: Of every torchmetrics metric, such as ``sync_on_compute``.

    Raises:
        UsageError: If a count is negative or no whole number, or the thresholds do not rise from 0.

    References:
        "Rethinking Classifier Re-Training in Long-Tailed Recognition" (LORT), Definitions 1 and 2.
    """

    sums: Tensor
    squares: Tensor
    own_sums: Tensor
    total: Tensor
    masks: Tensor

    def __init__(
        self, class_counts: Sequence[int], group_thresholds: tuple[int, int] = (20, 100), **options: Any
    ) -> None:
        super().__init__(**options)
        self.register_buffer("masks", group_masks(class_counts, group_thresholds), persistent=False)
        self.num_classes = self.masks.shape[1]
        for name in ("sums", "squares", "own_sums"):  # row 0: raw, row 1: centred
            self.add_state(name, torch.zeros(2, self.num_classes, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(self.num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add a batch.

        Args:
            logits: ``(N, K)``.
            targets: ``(N,)``, int64.

        Raises:
            UsageError: If ``logits`` has another number of classes, or ``targets`` another shape or type.
        """
        check_width(logits, self.num_classes)
        check_targets(targets, len(logits))
        if len(logits) == 0:
            return
        logits = at_least_fp32(logits)
        moments = logit_moments(logits, self.sums.dtype)
        self.sums = self.sums + moments.sums
        self.squares = self.squares + moments.squares
        self.own_sums = self.own_sums + own_sums(logits, targets, moments.row_means)
        self.total = self.total.index_add(0, targets, torch.ones_like(targets))

    def compute(self) -> dict[str, Tensor]:
        """Values per class, ``(K,)`` each, NaN for a class without samples.

        Returns:
            ``logits_magnitude``, ``regularized_std``, and both again with ``centred_`` in front.
        """
        magnitude = logits_magnitude(self.sums, self.own_sums, self.total)
        ratio = standard_deviation(self.sums, self.squares, self.total.sum()) / magnitude
        return {
            "logits_magnitude": magnitude[0],
            "regularized_std": ratio[0],
            "centred_logits_magnitude": magnitude[1],
            "centred_regularized_std": ratio[1],
        }

    def by_group(self, values: Tensor) -> dict[str, Tensor]:
        """Mean of per-class values, ``(K,)``, over the classes of each group that have one; NaN for a group without."""
        return dict(zip(GROUPS, group_means(values, self.masks).unbind(), strict=True))

"""Fisher discriminant ratio of features."""

from typing import Any

import torch
from torch import Tensor

from lt_lightning.errors import check_at_least_1
from lt_lightning.functional.checks import check_targets, check_width
from lt_lightning.functional.fisher import fisher_ratio
from lt_lightning.metrics.base import ExactMetric


class FisherRatio(ExactMetric):
    """Scatter between classes over scatter within them, ``tr S_B / tr S_W``: larger for better separated features.

    The state is a sum of features per class, ``(K, D)``, and a count per class, in fp64, summed over processes; nothing
    waits for the host. Every sample counts the same, so head classes weigh most on a long-tailed set.

    Args:
        num_classes: K.
        num_features: D.
        options: Of every torchmetrics metric, such as ``sync_on_compute``.

    Raises:
        UsageError: If one of them is below 1.

    References:
        :func:`lt_lightning.functional.fisher.fisher_ratio` gives the definition and where it is from.
    """

    higher_is_better = True

    sums: Tensor
    squares: Tensor
    total: Tensor

    def __init__(self, num_classes: int, num_features: int, **options: Any) -> None:
        super().__init__(**options)
        check_at_least_1(num_classes=num_classes, num_features=num_features)
        self.num_classes = num_classes
        self.num_features = num_features
        self.add_state("sums", torch.zeros(num_classes, num_features, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("squares", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, features: Tensor, targets: Tensor) -> None:
        """Add a batch.

        Args:
            features: ``(N, D)``.
            targets: ``(N,)``, int64.

        Raises:
            UsageError: If ``features`` has another width, or ``targets`` another shape or type.
        """
        check_width(features, self.num_features, "features")
        check_targets(targets, len(features))
        wide = features.to(self.sums.dtype)
        if self.sums.is_inference() and not torch.is_inference_mode_enabled():
            self.sums = self.sums.clone()  # a reset in inference mode made it, and nothing else may change it in place
        self.sums.index_add_(0, targets, wide)  # in place: K × D numbers are too many to copy for a batch
        self.squares = self.squares + wide.square().sum()
        self.total = self.total.index_add(0, targets, torch.ones_like(targets))

    def compute(self) -> dict[str, Tensor]:
        """Scalars: ``fisher_ratio``, and the scatters per sample it is made of, ``between`` and ``within``."""
        between, within = fisher_ratio(self.sums, self.squares, self.total)
        return {"fisher_ratio": between / within, "between": between, "within": within}

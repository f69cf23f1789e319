"""Losses with a margin for each class."""

from collections.abc import Sequence

from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.functional.margins import ldam_margins, subtract_margins
from lt_lightning.functional.precision import at_least_fp32
from lt_lightning.losses.base import Loss
from lt_lightning.losses.reduction import Reduction, cross_entropy


class LDAMLoss(Loss):
    """Label-distribution-aware margin loss: cross entropy of ``s (z - m_y at the target)``, ``m_c ∝ n_c^(-1/4)``.

    With ``scale`` above 1 the logits must be cosines (``CosineHead(scale=1)``); the scale is applied here, once.

    Args:
        class_counts: Training images per class, length K.
        max_margin: Margin of the rarest class, in units of the logits before scaling; 0.5 is the published code's.
        scale: s; 30 is the published code's. 1 gives the form on linear logits in LORT's Table 1.
        weight: Weight of each class, length K; ``None`` for equal weights.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.

    Raises:
        UsageError: If ``max_margin`` is negative or ``scale`` not positive.

    References:
        Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019.
    """

    margins: Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        max_margin: float = 0.5,
        scale: float = 30.0,
        weight: Sequence[float] | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_counts, weight, reduction)
        if max_margin < 0:
            raise UsageError(f"`max_margin` must be at least 0, but got {max_margin}.")
        if scale <= 0:
            raise UsageError(f"`scale` must be above 0, but got {scale}.")
        self.max_margin = max_margin
        self.logit_scale = float(scale)
        self.register_buffer("margins", ldam_margins(self.counts, max_margin), persistent=False)

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Mean loss of a batch, ``(N, K)`` and ``(N,)`` to a scalar."""
        lowered = subtract_margins(at_least_fp32(logits), targets, self.margins)
        return cross_entropy(self.logit_scale * lowered, targets, self.weight, reduction=self.reduction)

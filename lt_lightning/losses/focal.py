"""Softmax focal loss."""

from collections.abc import Sequence

from torch import Tensor

from lt_lightning.errors import check_at_least_0
from lt_lightning.functional.sample_weights import focal_factor
from lt_lightning.losses.base import Loss
from lt_lightning.losses.reduction import Reduction, cross_entropy


class FocalLoss(Loss):
    """Focal loss of softmax probabilities: ``-(1 - p_y)^γ log p_y``, the factor differentiated too.

    ``p_y`` is the probability itself: class weights multiply the loss and do not enter the factor. In LDAM's published
    code they do, and its mean divides by N where this one divides by the sum of the weights. The one-vs-all form is
    ``ClassBalancedLoss(kind="focal")``. It uses no class counts, so it counts as no correction for imbalance.

    Args:
        class_counts: Training images per class, length K.
        gamma: γ, at least 0; 2 is the focal paper's, 0 gives cross entropy.
        weight: Weight of each class, length K; ``None`` for equal weights.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.

    Raises:
        UsageError: If ``gamma`` is negative.

    References:
        Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, without α, on softmax probabilities.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        gamma: float = 2.0,
        weight: Sequence[float] | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_counts, weight, reduction)
        check_at_least_0(gamma=gamma)
        self.gamma = gamma

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Loss of a batch, ``(N, K)`` and ``(N,)`` to a scalar."""
        losses = cross_entropy(logits, targets, None, reduction="none")
        return self.reduce(focal_factor(losses, self.gamma) * losses, targets)

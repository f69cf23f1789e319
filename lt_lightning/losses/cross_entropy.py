"""Softmax cross entropy."""

from collections.abc import Sequence

from torch import Tensor

from lt_lightning.errors import check_share
from lt_lightning.losses.base import Loss
from lt_lightning.losses.reduction import Reduction, cross_entropy


class CrossEntropyLoss(Loss):
    """Softmax cross entropy, as torch's, with class weights as a weighted mean.

    Args:
        class_counts: Training images per class, length K.
        weight: Weight of each class, length K; ``None`` for equal weights.
        label_smoothing: Share of the label that is spread evenly over all classes, in [0, 1].
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.

    Raises:
        UsageError: If ``label_smoothing`` is outside [0, 1].
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        weight: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_counts, weight, reduction)
        check_share(label_smoothing=label_smoothing)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Loss of a batch, ``(N, K)`` and ``(N,)`` to a scalar."""
        return cross_entropy(logits, targets, self.weight, self.label_smoothing, self.reduction)

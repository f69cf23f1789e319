"""Hard selection of negative classes for softmax probabilities."""

from collections.abc import Sequence

from torch import Tensor

from lt_lightning.functional.precision import at_least_fp32
from lt_lightning.functional.selection import check_hard_selection, hard_selection_softmax_loss
from lt_lightning.losses.base import Loss
from lt_lightning.losses.reduction import Reduction


class HardSelectionSoftmaxLoss(Loss):
    """Cross entropy and, of the ``m`` % of negative classes with the highest logits, ``-α Σ log(1 - p_k)``.

    DLR's hard selection on softmax probabilities instead of sigmoids, as a control: the paper finds it no better than
    cross entropy, which has no negative class distraction to remedy. As there, ``α = β / n`` for the
    ``n = max(1, ⌊m (K-1) / 100⌋)`` classes selected; classes that tie for the last places share them. It uses no class
    counts, so it counts as no correction for imbalance. It is differentiable once: a backward pass with
    ``create_graph=True`` is refused.

    Args:
        class_counts: Training images per class, length K, at least 2.
        m: Percentage of the negative classes, in [0, 100]. 25 is the paper's for sigmoids; it names none here.
        beta: β, at least 0; 10 likewise. 0 gives cross entropy.
        alpha: α, at least 0, in place of β / n.
        weight: Weight of each class, length K; ``None`` for equal weights. It weighs the sample, by its target's class.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.

    Raises:
        UsageError: If ``m``, ``beta`` or ``alpha`` is out of range, or there is one class.

    References:
        Dong et al., "Single-Label Multi-Class Image Classification by Deep Logistic Regression" (DLR), AAAI 2019,
        "Hard Mining for SR", with eq. 5.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        m: float = 25.0,
        beta: float = 10.0,
        alpha: float | None = None,
        weight: Sequence[float] | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_counts, weight, reduction)
        self.require_two_classes()
        check_hard_selection(m, beta, alpha)
        self.m = m
        self.beta = beta
        self.alpha = alpha

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Loss of a batch, ``(N, K)`` and ``(N,)`` to a scalar."""
        losses = hard_selection_softmax_loss(at_least_fp32(logits), targets, self.m, self.beta, self.alpha)
        return self.reduce(losses, targets)

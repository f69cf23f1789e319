"""Large-margin softmax cross entropy."""

from collections.abc import Sequence

from torch import Tensor

from lt_lightning.errors import check_at_least_0
from lt_lightning.functional.large_margin import large_margin_terms
from lt_lightning.functional.precision import at_least_fp32
from lt_lightning.losses.base import Loss
from lt_lightning.losses.reduction import Reduction, reduce


class LargeMarginSoftmaxLoss(Loss):
    """Large-margin softmax cross entropy (LMSCE): cross entropy + λR, where R flattens the non-target logits.

    R is half the Jeffreys divergence between the softmax over the non-target classes and the uniform distribution, and
    0 for two classes. Class weights apply to the cross entropy alone, as in the published code; the means of the two
    terms are added. It uses no class counts, so it counts as no correction for imbalance. It is differentiable once: a
    backward pass with ``create_graph=True`` is refused.

    Args:
        class_counts: Training images per class, length K, at least 2.
        reg_lambda: λ, at least 0; 0.3 is the published code's, 0 gives cross entropy.
        weight: Weight of each class, length K; ``None`` for equal weights.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.

    Raises:
        UsageError: If ``reg_lambda`` is negative or there is one class.

    References:
        Kobayashi, "Large-Margin in Softmax Cross-Entropy Loss", BMVC 2019.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        reg_lambda: float = 0.3,
        weight: Sequence[float] | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_counts, weight, reduction)
        self.require_two_classes()
        check_at_least_0(reg_lambda=reg_lambda)
        self.reg_lambda = reg_lambda

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Loss of a batch, ``(N, K)`` and ``(N,)`` to a scalar."""
        losses, regularizers = large_margin_terms(at_least_fp32(logits), targets)
        return self.reduce(losses, targets) + self.reg_lambda * reduce(regularizers, None, self.reduction)

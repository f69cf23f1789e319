"""Cross entropy weighted by a power of the prior."""

from collections.abc import Sequence

from torch import Tensor

from lt_lightning.errors import check_at_least_0
from lt_lightning.functional.priors import generalized_weights
from lt_lightning.losses.base import Loss
from lt_lightning.losses.reduction import Reduction, cross_entropy


class GeneralizedReweightLoss(Loss):
    """Generalised re-weighting: cross entropy with weights ``∝ (n_c / N)^(-ρ)`` that sum to K, as a weighted mean.

    The weights are its class weights, so it takes no others as an argument, and `DRW`, which would replace them, is
    refused.

    Args:
        class_counts: Training images per class over the whole training set, length K.
        rho: ρ, at least 0; 1.2 is DisAlign's for ImageNet-LT, 1 gives inverse frequency, 0 equal weights.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.

    Raises:
        UsageError: If ``rho`` is negative.

    References:
        Zhang et al., "Distribution Alignment: A Unified Framework for Long-tail Visual Recognition" (DisAlign), CVPR
        2021.
    """

    def __init__(self, class_counts: Sequence[int], rho: float = 1.2, reduction: Reduction = "mean") -> None:
        super().__init__(class_counts, reduction=reduction)
        check_at_least_0(rho=rho)
        self.rho = rho
        self.set_weight(generalized_weights(self.counts, rho) if rho > 0 else None)

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Loss of a batch, ``(N, K)`` and ``(N,)`` to a scalar."""
        return cross_entropy(logits, targets, self.weight, reduction=self.reduction)

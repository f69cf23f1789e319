"""Losses that smooth the label."""

from collections.abc import Sequence

from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.functional.smoothing import delta_from_gap
from lt_lightning.losses.base import Loss
from lt_lightning.losses.reduction import Reduction, cross_entropy

DEFAULT_DELTA = 0.98


class LORTLoss(Loss):
    """Logits retargeting: cross entropy with label smoothing so strong that all logits stay small.

    The target class keeps probability ``1 - δ + δ/K``, every other one gets ``δ/K``. At the optimum the target logit is
    ``log(1 + K (1 - δ) / δ)`` above the others: 1.11 at K = 100 and δ = 0.98, but 0.19 at K = 10; ``gap`` asks for
    that difference directly. It uses no class counts, so it counts as no correction for imbalance.

    Args:
        class_counts: Training images per class, length K.
        delta: δ in [0, 1]. 0.98 is the paper's for CIFAR100-LT; it has 0.99 for ImageNet-LT and iNaturalist 2018.
        gap: The logit gap, at least 0, in place of ``delta``.
        weight: Not accepted; here so that the error can say why.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.

    Raises:
        UsageError: If ``delta`` or ``gap`` is out of range, both are given, or class weights are.

    References:
        "Rethinking Classifier Re-Training in Long-Tailed Recognition" (LORT); its published code calls the method label
        over-smoothing.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        delta: float = DEFAULT_DELTA,
        gap: float | None = None,
        weight: Sequence[float] | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_counts, weight, reduction)
        if not 0 <= delta <= 1:
            raise UsageError(f"`delta` must lie in [0, 1], but got {delta}.")
        if gap is not None:
            # A configuration always passes the default of `delta` too, so only another value counts as given.
            if delta != DEFAULT_DELTA:
                raise UsageError(f"`delta` and `gap` say the same thing; got {delta} and {gap}, give one of them.")
            if gap < 0:
                raise UsageError(f"`gap` must be at least 0, but got {gap}.")
            delta = delta_from_gap(gap, self.num_classes)
        self.delta = delta

    def set_weight(self, weight: Sequence[float] | Tensor | None) -> None:
        """Accept ``None`` only."""
        if weight is not None:
            raise UsageError(
                "`LORTLoss` does not go with class weights (`weight`, deferred re-weighting): they would weigh each "
                "class's part of the smoothed label, not the sample; leave them out, or use CrossEntropyLoss."
            )
        super().set_weight(None)

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Mean loss of a batch, ``(N, K)`` and ``(N,)`` to a scalar."""
        return cross_entropy(logits, targets, None, self.delta, self.reduction)

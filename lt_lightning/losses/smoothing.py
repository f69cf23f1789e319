"""Losses that smooth the label."""

from collections.abc import Sequence

from torch import Tensor

from lt_lightning.errors import UsageError, check_above_0, check_at_least_0, check_share, check_word
from lt_lightning.functional.precision import at_least_fp32
from lt_lightning.functional.smoothing import (
    SmoothingShape,
    delta_from_gap,
    label_aware_smoothing,
    smoothed_cross_entropy,
)
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
        delta: δ in [0, 1]. 0.98 is the paper's for CIFAR100-LT; it has 0.99 for ImageNet-LT and iNaturalist 2018. 1,
            which the paper leaves out, has the same label for all classes: nothing is learnt.
        gap: The logit gap, at least 0, in place of ``delta``.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.

    Raises:
        UsageError: If ``delta`` or ``gap`` is out of range, both are given, or class weights are set.

    References:
        "Rethinking Classifier Re-Training in Long-Tailed Recognition" (LORT); its published code calls the method label
        over-smoothing.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        delta: float = DEFAULT_DELTA,
        gap: float | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_counts, reduction=reduction)
        check_share(delta=delta)
        if gap is not None:
            # A configuration always passes the default of `delta` too, so only another value counts as given.
            if delta != DEFAULT_DELTA:
                raise UsageError(f"`delta` and `gap` say the same thing; got {delta} and {gap}, give one of them.")
            check_at_least_0(gap=gap)  # an infinite one would be plain cross entropy
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
        """Loss of a batch, ``(N, K)`` and ``(N,)`` to a scalar."""
        return cross_entropy(logits, targets, None, self.delta, self.reduction)


class LabelAwareSmoothingLoss(Loss):
    """Label-aware smoothing: cross entropy whose label smoothing ε grows with the number of images of the class.

    The loss is ``-(1 - ε_y) log p_y - ε_y mean_c log p_c``: as in the published code, the target has its share of the
    ``ε/K``, which the paper gives to the other classes alone. It calibrates confidence and leaves the prior as it is,
    so it counts as no correction for imbalance; its paper uses it on class-balanced batches.

    Args:
        class_counts: Training images per class over the whole training set, length K.
        head: ε of the most frequent class, in [0, 1]. 0.4 is the paper's for CIFAR100-LT at imbalance ratio 100 and for
            Places-LT; it has 0.3 with tail 0 for ImageNet-LT, iNaturalist 2018 and CIFAR10-LT at 100.
        tail: ε of the rarest class, in [0, 1]. Where all counts are equal, every class has ``head``.
        shape: How ε grows with the count: ``concave`` (a sine, the paper's best), ``linear``, ``convex``, or ``exp``, a
            power.
        power: Exponent of ``exp``, above 0; no other shape uses it. 2 is ours, the published code has no default.
        weight: Weight of each class, length K; ``None`` for equal weights. It weighs the sample, by its target's class.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.

    Raises:
        UsageError: If ``head`` or ``tail`` is outside [0, 1], ``shape`` unknown, or ``power`` not positive.

    References:
        Zhong et al., "Improving Calibration for Long-Tailed Recognition" (MiSLAS), CVPR 2021.
    """

    smoothing: Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        head: float = 0.4,
        tail: float = 0.1,
        shape: SmoothingShape = "concave",
        power: float = 2.0,
        weight: Sequence[float] | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_counts, weight, reduction)
        check_share(head=head, tail=tail)
        check_word("shape", shape, SmoothingShape)
        check_above_0(power=power)
        self.head = head
        self.tail = tail
        self.shape = shape
        self.power = power
        smoothing = label_aware_smoothing(self.counts, head, tail, shape, power)
        self.register_buffer("smoothing", smoothing, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Loss of a batch, ``(N, K)`` and ``(N,)`` to a scalar."""
        losses = smoothed_cross_entropy(at_least_fp32(logits), targets, self.smoothing[targets])
        return self.reduce(losses, targets)

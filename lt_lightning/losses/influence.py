"""Influence-balanced loss."""

from collections.abc import Sequence

from torch import Tensor

from lt_lightning.errors import UsageError, check_above_0, check_at_least_0
from lt_lightning.functional.precision import at_least_fp32
from lt_lightning.functional.sample_weights import focal_factor, influence
from lt_lightning.losses.base import Loss
from lt_lightning.losses.reduction import Reduction, cross_entropy


class InfluenceBalancedLoss(Loss):
    """Influence-balanced loss: cross entropy over each sample's influence, ``α w_y CE / (‖p - onehot‖₁ ‖h‖₁ + ε)``.

    h are the features that the classifier sees. The influence is differentiated, by the logits and by h, as in the
    published code. With γ > 0 this is IB-focal: ``(1 - p_y)^γ`` multiplies it, p that of the unweighted cross entropy.
    The published recipe starts with cross entropy and switches to this loss half-way, lowering the learning rate at the
    switch; the loss itself does neither.

    ``mean`` divides by the number of samples, not by the sum of their weights. Nothing but that mean depends on the
    batch a process sees, and it is exact over processes.

    Without class weights it does not look at the class counts, so it then counts as no correction for imbalance.

    Args:
        class_counts: Training images per class, length K.
        alpha: α, which only rescales; 1000 is the published script's, which brings the loss near cross entropy's.
        epsilon: ε, above 0; it bounds the weight of confident samples. 1e-3 is the published code's. Features that are
            all 0 have a gradient of order α/ε², which fp16 cannot hold; nor may it hold that of short features of a
            very wrong sample, ``α w_y CE / (2 ‖h‖₁²)`` in each entry. fp32 and bf16 do.
        gamma: γ, at least 0; above 0 gives IB-focal.
        weight: Weight of each class, length K; ``None`` for equal weights. The paper's are inverse frequencies that sum
            to K.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.

    Raises:
        UsageError: If ``alpha`` or ``epsilon`` is not positive, or ``gamma`` negative; from ``forward``, if it gets no
            ``features``.

    References:
        Park et al., "Influence-Balanced Loss for Imbalanced Visual Classification", ICCV 2021.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        alpha: float = 1000.0,
        epsilon: float = 1e-3,
        gamma: float = 0.0,
        weight: Sequence[float] | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_counts, weight, reduction)
        check_above_0(alpha=alpha, epsilon=epsilon)
        check_at_least_0(gamma=gamma)
        self.alpha = alpha
        self.epsilon = epsilon
        self.gamma = gamma

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:
        """Loss of a batch, ``(N, K)``, ``(N,)`` and ``(N, D)`` to a scalar."""
        if features is None:
            raise UsageError(
                "`InfluenceBalancedLoss` needs `features`, what the classifier sees, (N, D), but got None; pass them "
                "as the third argument."
            )
        losses = cross_entropy(logits, targets, None, reduction="none")
        balanced = self.alpha * losses / (influence(losses, at_least_fp32(features)) + self.epsilon)
        if self.gamma > 0:
            balanced = focal_factor(losses, self.gamma) * balanced
        return self.reduce(balanced, targets, over="samples")

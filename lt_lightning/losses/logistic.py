"""One-vs-all logistic losses, plain and with a selection of negative classes."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from lt_lightning.errors import UsageError, check_at_least_0
from lt_lightning.functional.binary import one_vs_all_loss
from lt_lightning.functional.precision import at_least_fp32
from lt_lightning.functional.selection import check_hard_selection, hard_selection_loss, soft_selection_loss
from lt_lightning.losses.one_vs_all import OneVsAllLoss
from lt_lightning.losses.reduction import Reduction


class _LogisticLoss(OneVsAllLoss):
    """One class per sample or several."""

    takes_several_classes = True

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Loss of a batch.

        Args:
            logits: ``(N, K)``.
            targets: Class of each sample, ``(N,)``, int64; or all its classes, ``(N, K)``, 0 or 1 as float, bool or
                int: positive terms are summed, all other classes are negative.
            features: Not used.

        Returns:
            A scalar; ``(N,)`` with ``reduction="none"``.

        Raises:
            UsageError: If ``(N, K)`` targets have another shape than the logits, come with class weights, or hold
                other numbers than 0 and 1 (looked at on the CPU alone, where it makes nothing wait).
        """
        if targets.dim() == 2:
            if targets.shape != logits.shape:
                raise UsageError(
                    f"`targets` of several classes must have the shape of the logits, {tuple(logits.shape)}, but got "
                    f"{tuple(targets.shape)}."
                )
            if self.weight is not None:
                raise UsageError(
                    "`weight` belongs to a sample's one class, but got `targets` with several classes per sample; "
                    "leave the class weights out."
                )
            if targets.device.type == "cpu" and not torch.compiler.is_compiling():
                others = targets[(targets != 0) & (targets != 1)]
                if len(others) > 0:
                    raise UsageError(
                        f"`targets` of several classes must hold 0 and 1 alone, but got {others[0].item():g}; a "
                        f"share of a class would count as the whole of it."
                    )
        return self.reduce(self.losses(at_least_fp32(logits), targets), targets)

    @abstractmethod
    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each sample, ``(N,)``, of logits in fp32 at least."""


class LogisticLoss(_LogisticLoss):
    """Logistic loss (LR, LGL): binary cross entropy of each class's sigmoid, summed over classes, mean over samples.

    Class weights weigh samples, as a weighted mean (Σ w l / Σ w), like those of softmax cross entropy; Cui's
    class-balanced loss divides by N instead, which is ``ClassBalancedLoss(kind="sigmoid")``. It is differentiable once:
    a backward pass with ``create_graph=True`` is refused.

    Args:
        class_counts: Training images per class, length K, at least 2.
        weight: Weight of each class, length K; ``None`` for equal weights.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.
        init_bias: Have the classifier's bias start at ``-log(K - 1)``, the prior probability 1/K.

    References:
        Dong et al., "Single-Label Multi-Class Image Classification by Deep Logistic Regression" (DLR), AAAI 2019,
        eq. 3.
    """

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each sample, ``(N,)``."""
        return one_vs_all_loss(logits, targets)


class HardSelectionLogisticLoss(_LogisticLoss):
    """Hard-selection logistic loss (HS-LR): the positive class, and the ``m`` % of negatives with the highest logits.

    ``-log s_y - α Σ log(1 - s_k)`` over the top ``n = max(1, ⌊m (K-1) / 100⌋)`` negative classes, ``α = β / n``. The
    paper says that α is below 1, which its own β = 10 breaks wherever n is 10 or less (K up to 44 at m = 25); the
    formula is kept, and ``alpha`` overrides it. With several classes per sample, K - 1 is the number of negatives.
    Differentiable once, as :class:`LogisticLoss`.

    Args:
        class_counts: Training images per class, length K, at least 2.
        m: Percentage of the negative classes, in [0, 100]. The paper searched 25 to 75: high suits objects, low
            re-identification.
        beta: β, at least 0; 10 is the paper's.
        alpha: α, at least 0, in place of β / n.
        weight: Weight of each class, length K, for a weighted mean as in :class:`LogisticLoss`; ``None`` for equal
            weights.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.
        init_bias: Have the classifier's bias start at ``-log(K - 1)``, the prior probability 1/K.

    Raises:
        UsageError: If ``m``, ``beta`` or ``alpha`` is out of range.

    References:
        Dong et al., "Single-Label Multi-Class Image Classification by Deep Logistic Regression" (DLR), AAAI 2019,
        eq. 5.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        m: float = 25.0,
        beta: float = 10.0,
        alpha: float | None = None,
        weight: Sequence[float] | None = None,
        reduction: Reduction = "mean",
        init_bias: bool = False,
    ) -> None:
        super().__init__(class_counts, weight, reduction, init_bias)
        check_hard_selection(m, beta, alpha)
        self.m = m
        self.beta = beta
        self.alpha = alpha

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each sample, ``(N,)``."""
        return hard_selection_loss(logits, targets, self.m, self.beta, self.alpha)


class SoftSelectionLogisticLoss(_LogisticLoss):
    """Soft-selection logistic loss (SS-LR): every negative class, weighted by its probability to the power of r.

    ``-log s_y - α Σ_{k≠y} s_k^r log(1 - s_k)`` with ``α = β / (K-1)``; the gradient flows through ``s_k^r``. r = 0 is
    hard selection of all negatives. With several classes per sample, K - 1 is the number of negatives. Differentiable
    once, as :class:`LogisticLoss`.

    Args:
        class_counts: Training images per class, length K, at least 2.
        r: Exponent, at least 0; 2 is the paper's, which has 50 on ImageNet.
        beta: β, at least 0; 10 is the paper's.
        alpha: α, at least 0, in place of β / (K-1).
        weight: Weight of each class, length K, for a weighted mean as in :class:`LogisticLoss`; ``None`` for equal
            weights.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.
        init_bias: Have the classifier's bias start at ``-log(K - 1)``, the prior probability 1/K.

    Raises:
        UsageError: If ``r``, ``beta`` or ``alpha`` is negative.

    References:
        Dong et al., "Single-Label Multi-Class Image Classification by Deep Logistic Regression" (DLR), AAAI 2019,
        eq. 6.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        r: float = 2.0,
        beta: float = 10.0,
        alpha: float | None = None,
        weight: Sequence[float] | None = None,
        reduction: Reduction = "mean",
        init_bias: bool = False,
    ) -> None:
        super().__init__(class_counts, weight, reduction, init_bias)
        check_at_least_0(r=r, beta=beta, alpha=alpha)
        self.r = r
        self.beta = beta
        self.alpha = alpha

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each sample, ``(N,)``."""
        return soft_selection_loss(logits, targets, self.r, self.beta, self.alpha)

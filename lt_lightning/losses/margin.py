"""Losses with a margin at the target's logit: of its class, of its strongest rival's, of the sample."""

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor

from lt_lightning.errors import check_above_0, check_at_least_0
from lt_lightning.functional.margins import elm_margins, ldam_margins, maximum_margins, scale_with_margin
from lt_lightning.functional.precision import at_least_fp32
from lt_lightning.losses.base import Loss
from lt_lightning.losses.reduction import Reduction, cross_entropy


class MarginLoss(Loss):
    """Base of margin losses: cross entropy of ``s (z - margin at the target)``.

    With ``scale`` above 1 the logits must be cosines (``CosineHead(scale=1)``); the scale is applied here, once.

    Args:
        class_counts: Training images per class, length K.
        max_margin: What bounds the margins, in units of the logits before scaling; a subclass says how.
        scale: s.
        weight: Weight of each class, length K; ``None`` for equal weights.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.

    Raises:
        UsageError: If ``max_margin`` is negative or ``scale`` not positive.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        max_margin: float,
        scale: float,
        weight: Sequence[float] | None,
        reduction: Reduction,
    ) -> None:
        super().__init__(class_counts, weight, reduction)
        check_at_least_0(max_margin=max_margin)
        check_above_0(scale=scale)
        self.max_margin = max_margin
        self.logit_scale = float(scale)

    @abstractmethod
    def sample_margins(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Margin of each sample, ``(N, K)`` and ``(N,)`` to ``(N,)``, in units of the logits before scaling."""

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Loss of a batch, ``(N, K)`` and ``(N,)`` to a scalar."""
        logits = at_least_fp32(logits)
        shifted = scale_with_margin(logits, targets, self.sample_margins(logits, targets), self.logit_scale)
        return cross_entropy(shifted, targets, self.weight, reduction=self.reduction)


class LDAMLoss(MarginLoss):
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
    """Margin of each class, ``(K,)``, in units of the logits before scaling."""

    def __init__(
        self,
        class_counts: Sequence[int],
        max_margin: float = 0.5,
        scale: float = 30.0,
        weight: Sequence[float] | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_counts, max_margin, scale, weight, reduction)
        self.register_buffer("margins", ldam_margins(self.counts, max_margin), persistent=False)

    def sample_margins(self, logits: Tensor, targets: Tensor) -> Tensor:  # noqa: ARG002
        """The target class's margin, ``(N,)``."""
        return self.margins[targets]


class ELMLoss(MarginLoss):
    """Enlarged large margin loss: LDAM's margin less λ times that of the strongest rival, ``m_y - λ m_j``.

    The rival j is the largest logit other than the target's. The paper calls the margin wider; by its formula, which
    its code shares, it is below LDAM's for every λ > 0, and, at λ = 1, negative where j is rarer than y. Neither the
    choice of j nor the margin is differentiated. With ``scale`` above 1 the logits must be cosines
    (``CosineHead(scale=1)``); the scale is applied here, once, to all logits, as in eq. (6) and the code: eq. (7)
    prints the other classes' without it.

    Args:
        class_counts: Training images per class, length K, at least 2.
        max_margin: LDAM margin of the rarest class, in units of the logits before scaling; 0.5 is the published code's.
        scale: s; 30 is the published code's.
        lam: λ; the paper tries 0.1 to 1.2.
        target_margin: Whether ``m_y`` takes part; without it this is the paper's "ELM w/o Δ_y".
        weight: Weight of each class, length K; ``None`` for equal weights.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.

    Raises:
        UsageError: If ``max_margin`` or ``lam`` is negative, ``scale`` not positive, or there is one class.

    References:
        "Enlarged Large Margin Loss for Imbalanced Classification" (ELM), eq. (6) and (7).
    """

    margins: Tensor
    """LDAM's margin m of each class, ``(K,)``, in units of the logits before scaling."""

    def __init__(
        self,
        class_counts: Sequence[int],
        max_margin: float = 0.5,
        scale: float = 30.0,
        lam: float = 1.0,
        target_margin: bool = True,
        weight: Sequence[float] | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_counts, max_margin, scale, weight, reduction)
        self.require_two_classes()
        check_at_least_0(lam=lam)
        self.lam = lam
        self.target_margin = target_margin
        self.register_buffer("margins", ldam_margins(self.counts, max_margin), persistent=False)

    def sample_margins(self, logits: Tensor, targets: Tensor) -> Tensor:
        """``m_y - λ m_j``, ``(N,)``."""
        return elm_margins(logits, targets, self.margins, self.lam, self.target_margin)


class MaximumMarginLDAMLoss(MarginLoss):
    """Maximum margin loss with LDAM's margins: the nearer a sample is to the decision boundary, the larger its margin.

    With ``d = z_y - max of the other logits`` and ``M = max_margin - m_y``, ``m_c`` LDAM's margins with 0.5 for the
    rarest class, the margin is ``exp(-d - γM)`` where the sample is right and ``exp(d - M)`` where it is wrong; it is
    not differentiated. With ``scale`` above 1 the logits must be cosines (``CosineHead(scale=1)``); the scale is
    applied here, once.

    Args:
        class_counts: Training images per class, length K, at least 2.
        max_margin: Upper end of M; 0.5 is the published code's. Its published setting for CIFAR100-LT is 1.29, with
            ``scale`` 26 and ``gamma`` 1.528.
        scale: s; 30 is the published code's.
        gamma: γ; above 1 it gives samples that are right less margin. 1.1 is ours: the published code's 10 is not what
            its results were made with.
        weight: Weight of each class, length K; ``None`` for equal weights.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.

    Raises:
        UsageError: If ``max_margin`` or ``gamma`` is negative, ``scale`` not positive, or there is one class.

    References:
        Kang et al., "Learning Imbalanced Datasets with Maximum Margin Loss", ICIP 2021. Its code takes every sample's d
        from the first sample's class; here each has its own, as the paper says.
    """

    bounds: Tensor
    """M of each class, ``(K,)``: the rarer, the lower, hence the larger the margins of its samples."""

    def __init__(
        self,
        class_counts: Sequence[int],
        max_margin: float = 0.5,
        scale: float = 30.0,
        gamma: float = 1.1,
        weight: Sequence[float] | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_counts, max_margin, scale, weight, reduction)
        self.require_two_classes()
        check_at_least_0(gamma=gamma)
        self.gamma = gamma
        self.register_buffer("bounds", max_margin - ldam_margins(self.counts, 0.5), persistent=False)

    def sample_margins(self, logits: Tensor, targets: Tensor) -> Tensor:
        """``exp(-|d| - M)``, M times γ where d > 0, ``(N,)``."""
        return maximum_margins(logits, targets, self.bounds, self.gamma)

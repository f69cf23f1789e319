"""Losses that adjust the logits by the class counts while training, so that the raw logits fit balanced classes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lt_lightning.errors import check_at_least_0
from lt_lightning.functional.precision import at_least_fp32
from lt_lightning.functional.priors import frequency_factors, log_prior
from lt_lightning.losses.base import Loss
from lt_lightning.losses.reduction import Reduction, cross_entropy


class LogitAdjustedLoss(Loss):
    """Cross entropy of ``z + τ log prior``; inference uses ``z`` alone.

    Not to be combined with post-hoc logit adjustment or a balanced sampler: each corrects for the prior on its own.

    Args:
        class_counts: Training images per class over the whole training set, length K.
        tau: Strength; 1, the paper's default, is the correction that is consistent for balanced accuracy.
        weight: Weight of each class, length K; ``None`` for equal weights.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.

    Raises:
        UsageError: If ``tau`` is negative.

    References:
        Menon et al., "Long-Tail Learning via Logit Adjustment", ICLR 2021.
    """

    log_prior: Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        tau: float = 1.0,
        weight: Sequence[float] | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_counts, weight, reduction)
        check_at_least_0(tau=tau)
        self.tau = tau
        self.register_buffer("log_prior", log_prior(self.counts), persistent=False)

    @property
    def rebalances(self) -> bool:
        """True, unless ``tau`` is 0 and no class weights are set."""
        return self.tau > 0 or super().rebalances

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Loss of a batch, ``(N, K)`` and ``(N,)`` to a scalar."""
        logits = at_least_fp32(logits)
        adjusted = logits + (self.tau * self.log_prior).to(logits.dtype)
        return cross_entropy(adjusted, targets, self.weight, reduction=self.reduction)


class BalancedSoftmaxLoss(LogitAdjustedLoss):
    """Cross entropy of ``z + log n_c``, which equals :class:`LogitAdjustedLoss` with τ = 1.

    Args:
        class_counts: Training images per class over the whole training set, length K.
        weight: Weight of each class, length K; ``None`` for equal weights.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.

    References:
        Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition", NeurIPS 2020.
    """

    def __init__(
        self, class_counts: Sequence[int], weight: Sequence[float] | None = None, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(class_counts, tau=1.0, weight=weight, reduction=reduction)


class VectorScalingLoss(Loss):
    """Vector scaling: cross entropy of ``z (n_c / n_max)^γ + τ log prior``; inference uses ``z`` alone.

    The factor makes rare classes need larger logits while training, the sum is that of :class:`LogitAdjustedLoss`. Not
    to be combined with post-hoc logit adjustment or a balanced sampler: each corrects for the prior on its own.

    Args:
        class_counts: Training images per class over the whole training set, length K.
        gamma: γ, at least 0; 0.05 is the paper's for CIFAR100-LT, it has 0.15 for CIFAR10-LT.
        tau: τ, at least 0; 0.75 is the paper's for CIFAR100-LT, it has 1.25 for CIFAR10-LT.
        weight: Weight of each class, length K; ``None`` for equal weights.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.

    Raises:
        UsageError: If ``gamma`` or ``tau`` is negative.

    References:
        Kini et al., "Label-Imbalanced and Group-Sensitive Classification under Overparameterization", NeurIPS 2021.
    """

    factors: Tensor
    shifts: Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        gamma: float = 0.05,
        tau: float = 0.75,
        weight: Sequence[float] | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_counts, weight, reduction)
        check_at_least_0(gamma=gamma, tau=tau)
        self.gamma = gamma
        self.tau = tau
        self.register_buffer("factors", frequency_factors(self.counts, gamma), persistent=False)
        self.register_buffer("shifts", tau * log_prior(self.counts), persistent=False)

    @property
    def rebalances(self) -> bool:
        """True, unless ``gamma`` and ``tau`` are 0 and no class weights are set."""
        return self.gamma > 0 or self.tau > 0 or super().rebalances

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Loss of a batch, ``(N, K)`` and ``(N,)`` to a scalar."""
        logits = at_least_fp32(logits)
        adjusted = torch.addcmul(self.shifts.to(logits.dtype), logits, self.factors.to(logits.dtype))
        return cross_entropy(adjusted, targets, self.weight, reduction=self.reduction)

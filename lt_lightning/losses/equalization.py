"""Losses that equalise the gradients of a class as a positive and as a negative one."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from lt_lightning.errors import check_above_0, check_at_least_0, check_is_finite
from lt_lightning.functional.equalization import equalization_loss, equalization_weights
from lt_lightning.functional.precision import at_least_fp32
from lt_lightning.losses.one_vs_all import OneVsAllLoss
from lt_lightning.losses.reduction import Reduction
from lt_lightning.processes import in_group


class EqualizationLossV2(OneVsAllLoss):
    """Equalization loss v2: one-vs-all cross entropy whose weights follow each class's gradients so far.

    A class's ratio g of positive to negative gradients, summed up since the start, sets its weight as a negative class,
    ``f(g) = sigmoid(γ (g - μ))``, and as a positive one, ``1 + α (1 - f(g))``. Summed over classes, mean over samples.

    The sums are state: they go into checkpoints, grow only in training mode with gradients enabled, count each batch of
    an accumulated step, and are those of all processes together: equal on 1 process and on W with the same joint batch.
    Without the extra objectness column of the detector that the loss was made for. It is differentiable once: a
    backward pass with ``create_graph=True`` is refused.

    Args:
        class_counts: Training images per class, length K, at least 2.
        gamma: γ, steepness of f; 12 is the paper's.
        mu: μ, ratio at which f is 1/2; 0.8 is the paper's.
        alpha: α, at least 0; 4 is the paper's.
        weight: Weight of each class, length K; ``None`` for equal weights. It weighs samples in the mean (Σ w l / Σ w)
            and leaves the summed gradients alone, as the published code has no such weights.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.
        init_bias: Have the classifier's bias start at ``-log(K - 1)``, the prior probability 1/K.

    Raises:
        UsageError: If ``gamma`` is not positive, ``alpha`` is negative, or ``mu`` no finite number.

    References:
        Tan et al., "Equalization Loss v2: A New Gradient Balance Approach for Long-Tailed Object Detection", CVPR 2021.
    """

    positive_gradients: Tensor
    """Sum over all samples of a class of the gradient that raises its logit, ``(K,)``, fp64."""

    negative_gradients: Tensor
    """Sum over all samples of other classes of the gradient that lowers its logit, ``(K,)``, fp64."""

    def __init__(
        self,
        class_counts: Sequence[int],
        gamma: float = 12.0,
        mu: float = 0.8,
        alpha: float = 4.0,
        weight: Sequence[float] | None = None,
        reduction: Reduction = "mean",
        init_bias: bool = False,
    ) -> None:
        super().__init__(class_counts, weight, reduction, init_bias)
        check_above_0(gamma=gamma)
        check_at_least_0(alpha=alpha)
        check_is_finite(mu=mu)
        self.gamma = gamma
        self.mu = mu
        self.alpha = alpha
        self.register_buffer("positive_gradients", torch.zeros_like(self.counts))
        self.register_buffer("negative_gradients", torch.zeros_like(self.counts))

    @property
    def rebalances(self) -> bool:
        """True: rare classes weigh more as positives and less as negatives."""
        return True

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Loss of a batch, ``(N, K)`` and ``(N,)`` to a scalar; in training its gradients are added to the sums."""
        logits = at_least_fp32(logits)
        sums = self.positive_gradients, self.negative_gradients
        as_positive, as_negative = equalization_weights(*sums, self.gamma, self.mu, self.alpha)
        terms = equalization_loss(logits, targets, as_positive.to(logits.dtype), as_negative.to(logits.dtype))
        if self.training and torch.is_grad_enabled():
            self._add(terms.positive, terms.negative)
        return self.reduce(terms.losses, targets)

    def _add(self, positive: Tensor, negative: Tensor) -> None:
        new = torch.stack((positive, negative)).to(self.counts.dtype)
        if in_group():
            dist.all_reduce(new)
        self.positive_gradients += new[0]
        self.negative_gradients += new[1]

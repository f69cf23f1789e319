"""A loss in which a sample pushes other classes down by how rare, and how wrongly preferred, they are."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lt_lightning.errors import check_at_least_0, check_share
from lt_lightning.functional.precision import at_least_fp32
from lt_lightning.losses.base import Loss
from lt_lightning.losses.reduction import Reduction, cross_entropy


class SeesawLoss(Loss):
    """Cross entropy of ``z_j + log S_j``: S weighs what a sample of class y does to class j. Inference uses z alone.

    ``S_j = M_j C_j``. Mitigation, ``M_j = min(1, n_j / n_y)^p``, spares classes rarer than the sample's own from being
    pushed down by it. Compensation, ``C_j = max(1, σ_j / σ_y)^q``, still pushes down the classes that the sample is
    mistaken for; no gradient passes through it. Both are 1 for j = y.

    The paper counts images as training meets them; here the counts are those of the training set, which they tend to.
    Its normalised classifier is ``CosineHead(scale=20)`` with a bias. Not to be combined with post-hoc logit
    adjustment or a balanced sampler: each corrects for the prior on its own.

    Args:
        class_counts: Training images per class over the whole training set, length K.
        p: Strength of mitigation, at least 0; 0.8 is the paper's.
        q: Strength of compensation, at least 0; 2 is the paper's.
        floor: Lower bound of σ_y in C, in [0, 1]; 0.01 is that of the authors' code, 0 the paper's formula, by which
            one sample far from its class has a loss that grows with q times its distance.
        weight: Weight of each class, length K; ``None`` for equal weights.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.

    Raises:
        UsageError: If ``p`` or ``q`` is negative, or ``floor`` no share.

    References:
        Wang et al., "Seesaw Loss for Long-Tailed Instance Segmentation", CVPR 2021, section 3.1; code: mmdetection.
    """

    log_counts: Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        p: float = 0.8,
        q: float = 2.0,
        floor: float = 0.01,
        weight: Sequence[float] | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_counts, weight, reduction)
        check_at_least_0(p=p, q=q)
        check_share(floor=floor)
        self.p, self.q, self.floor = p, q, floor
        self.register_buffer("log_counts", self.counts.log(), persistent=False)

    @property
    def rebalances(self) -> bool:
        """True, unless ``p`` is 0 and no class weights are set."""
        return self.p > 0 or super().rebalances

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Loss of a batch, ``(N, K)`` and ``(N,)`` to a scalar."""
        logits = at_least_fp32(logits)
        adjusted = logits + self._log_factors(logits.detach(), targets)
        return cross_entropy(adjusted, targets, self.weight, reduction=self.reduction)

    def _log_factors(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logarithms of S, ``(N, K)``: the factors themselves may overflow."""
        counts = self.log_counts.to(logits.dtype)
        mitigation = (counts - counts[targets].unsqueeze(1)).clamp_max(0)
        shares = torch.log_softmax(logits, dim=1)
        own = shares.gather(1, targets.unsqueeze(1))
        if self.floor:
            own = own.clamp_min(math.log(self.floor))
        return mitigation.mul_(self.p).add_((shares - own).clamp_min_(0), alpha=self.q)

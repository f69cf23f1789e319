"""Losses weighted by the effective number of samples of each class."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from lt_lightning.errors import UsageError, check_at_least_0, check_word
from lt_lightning.functional.binary import one_vs_all_loss, softmax_bce_loss
from lt_lightning.functional.precision import at_least_fp32
from lt_lightning.functional.priors import class_balanced_weights
from lt_lightning.losses.base import Loss
from lt_lightning.losses.one_vs_all import bias_of_one_in
from lt_lightning.losses.reduction import Reduction, cross_entropy

Kind = Literal["softmax", "sigmoid", "focal", "softmax_bce"]


class ClassBalancedLoss(Loss):
    """Class-balanced loss: weights ``(1 - β) / (1 - β^n)``, scaled to sum to K, on one of four losses.

    - ``softmax``: cross entropy, weighted mean.
    - ``sigmoid``: binary cross entropy of each class, mean over N·K. The paper's code sums over classes: its learning
      rates are to be multiplied by about K.
    - ``focal``: the same with the focal factor ``(1 - p_t)^γ``, summed over classes, mean over N.
    - ``softmax_bce``: binary cross entropy of softmax probabilities, mean over N·K, as in widely used ports.

    The weights are its class weights: `DRW`, which would replace them, is refused. Only ``softmax`` divides by their
    sum, as torch's weighted cross entropy does; the other kinds divide by N, as the paper's code does for all its
    kinds. Those are differentiable once: a backward pass with ``create_graph=True`` is refused.

    Args:
        class_counts: Training images per class, length K.
        beta: β in [0, 1); 0 gives equal weights. 0.9999 is what later work settled on, out of the paper's 0.9 to
            0.9999.
        kind: The loss that is weighted.
        gamma: Exponent of the focal factor, for ``kind="focal"`` only; 2 is the focal paper's.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`. The 1/K of ``sigmoid`` and ``softmax_bce``
            stays in all three.
        init_bias: Have the classifier's bias start at ``-log(K - 1)``, the prior probability 1/K, as the paper does;
            for ``sigmoid`` and ``focal`` only.

    Raises:
        UsageError: If ``beta`` is outside [0, 1), ``kind`` is unknown, ``gamma`` is negative, ``init_bias`` is asked of
            a softmax kind, or there is one class.

    References:
        Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        beta: float = 0.9999,
        kind: Kind = "softmax",
        gamma: float = 2.0,
        reduction: Reduction = "mean",
        init_bias: bool = False,
    ) -> None:
        super().__init__(class_counts, reduction=reduction)
        if not 0 <= beta < 1:
            raise UsageError(f"`beta` must lie in [0, 1), but got {beta}.")
        check_word("kind", kind, Kind)
        check_at_least_0(gamma=gamma)
        self.require_two_classes()
        self.one_vs_all = kind in ("sigmoid", "focal")
        if init_bias and not self.one_vs_all:
            raise UsageError(
                f"`init_bias` belongs to the kinds sigmoid and focal, but got kind {kind!r}, to which a common bias of "
                "all classes makes no difference; leave it out."
            )
        if init_bias:
            self.initial_bias = bias_of_one_in(self.num_classes)
        self.beta = beta
        self.kind = kind
        self.gamma = gamma
        self.set_weight(class_balanced_weights(self.class_counts, beta) if beta > 0 else None)

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Loss of a batch, ``(N, K)`` and ``(N,)`` to a scalar."""
        if self.kind == "softmax":
            return cross_entropy(logits, targets, self.weight, reduction=self.reduction)
        logits = at_least_fp32(logits)
        if self.kind == "softmax_bce":
            losses = softmax_bce_loss(logits, targets) / self.num_classes
        elif self.kind == "sigmoid":
            losses = one_vs_all_loss(logits, targets) / self.num_classes
        else:
            losses = one_vs_all_loss(logits, targets, self.gamma)
        return self.reduce(losses, targets, over="samples")

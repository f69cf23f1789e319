"""What losses with one sigmoid per class have in common."""

from collections.abc import Sequence
from math import log

from lt_lightning.losses.base import Loss
from lt_lightning.losses.reduction import Reduction


def bias_of_one_in(num_classes: int) -> float:
    """Bias ``-log(K - 1)``, at which a sigmoid gives each of K classes the probability 1/K.

    From bias 0 the first steps are spent on lowering K - 1 logits that start at probability 1/2.

    References:
        Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019, section 4.
    """
    return -log(num_classes - 1)


class OneVsAllLoss(Loss):
    """Base of losses with one sigmoid per class.

    Args:
        class_counts: Training images per class, length K, at least 2.
        weight: Weight of each class, length K; ``None`` for equal weights.
        reduction: ``mean``, ``sum`` or ``none``, as for every :class:`Loss`.
        init_bias: Have the classifier's bias start at ``-log(K - 1)``, the prior probability 1/K.

    Raises:
        UsageError: If there is one class.
    """

    one_vs_all = True

    def __init__(
        self,
        class_counts: Sequence[int],
        weight: Sequence[float] | None = None,
        reduction: Reduction = "mean",
        init_bias: bool = False,
    ) -> None:
        super().__init__(class_counts, weight, reduction)
        self.require_two_classes()
        if init_bias:
            self.initial_bias = bias_of_one_in(self.num_classes)

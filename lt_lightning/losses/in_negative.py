"""LGL-INR: the logistic loss with negative classes reweighted by how hard they are."""

from collections.abc import Sequence

from torch import Tensor

from lt_lightning.errors import UsageError, check_at_least_0
from lt_lightning.functional.in_negative import in_negative_reweighted_loss
from lt_lightning.functional.precision import at_least_fp32
from lt_lightning.losses.gather import joint_batch
from lt_lightning.losses.one_vs_all import OneVsAllLoss


class LGLINRLoss(OneVsAllLoss):
    """In-negative-class reweighted logistic loss (LGL-INR).

    Each class k's sigmoid has a positive term, the mean loss over class k's samples, and a negative term: the mean
    losses over the samples of each other class, weighted by the softmax over those classes of β times their mean
    probability for k. It sums over classes without a factor 1/K, so its scale grows with K. The gradient flows through
    the weights, too, as in the published code.

    What depends on the batch: all means are over the batch's samples of a class, a class that the batch lacks has no
    positive term and is nobody's negative class, and so value and gradient change with the batch size and, under
    several processes, with their number: each process has the means of its own batch, unless ``gather``. As there is
    no loss of a single sample, it takes neither class weights nor a ``reduction``. It is differentiable once: a
    backward pass with ``create_graph=True`` is refused.

    Args:
        class_counts: Training images per class, length K, at least 2.
        beta: β, at least 0; 1 is the paper's.
        gather: While training on several processes, take the means over all their batches: value and gradient are those
            of the joint batch. It costs an exchange of all logits, and waits for the batch sizes.
        init_bias: Have the classifier's bias start at ``-log(K - 1)``, the prior probability 1/K.

    Raises:
        UsageError: If ``beta`` is negative, or class weights are set.

    References:
        Li et al., "On the Learning Property of Logistic and Softmax Losses for Deep Neural Networks", AAAI 2020, eq. 11
        with the weights of "Choice of λs".
    """

    def __init__(
        self, class_counts: Sequence[int], beta: float = 1.0, gather: bool = False, init_bias: bool = False
    ) -> None:
        super().__init__(class_counts, init_bias=init_bias)
        check_at_least_0(beta=beta)
        self.beta = beta
        self.gather = gather

    @property
    def rebalances(self) -> bool:
        """True: within a batch each class counts as much as any other, however many samples it has."""
        return True

    def set_weight(self, weight: Sequence[float] | Tensor | None) -> None:
        """Accept ``None`` only."""
        if weight is not None:
            raise UsageError(
                "`LGLINRLoss` does not go with class weights (`weight`, deferred re-weighting): its means give every "
                "class of a batch the same weight already; leave them out, or use LogisticLoss."
            )
        super().set_weight(None)

    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Loss of a batch, ``(N, K)`` and ``(N,)`` to a scalar."""
        logits = at_least_fp32(logits)
        if self.gather:
            logits, targets = joint_batch(logits, targets)
        return in_negative_reweighted_loss(logits, targets, self.beta)

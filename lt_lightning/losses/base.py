"""The contract of every loss."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from reprlib import repr as short
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lt_lightning.errors import UsageError, check_word, checked_counts
from lt_lightning.functional.checks import check_targets, check_width
from lt_lightning.functional.precision import at_least_fp32, keeping_precision
from lt_lightning.losses.reduction import Reduction, reduce
from lt_lightning.wording import numbers, settings_of


class Loss(nn.Module, ABC):
    """Base of all losses: class counts in, a scalar per batch out.

    What a loss keeps (counts, weights, margins, accumulators) stays in fp64 through ``.to(torch.bfloat16)`` and the
    like; only its device changes.

    Args:
        class_counts: Training images per class, length K. Losses that only need K take them all the same, so that one
            link from the data serves all.
        weight: Weight of each class, length K; ``None`` for equal weights.
        reduction: ``mean`` over the batch (weighted where there are weights), ``sum``, or ``none`` for a loss of each
            sample. Training needs a scalar.

    Raises:
        UsageError: If a count is below 1 or no whole number, ``reduction`` is unknown, or ``weight`` has another length
            or an entry that is negative or not finite.
    """

    logit_scale: float = 1.0
    """What logits are multiplied by inside the loss, hence before probabilities are taken."""

    one_vs_all: bool = False
    """Whether logits stand for one sigmoid per class instead of a softmax."""

    initial_bias: float | None = None
    """Bias that the classifier is to start from, whatever it had; ``None`` leaves it alone."""

    takes_several_classes: bool = False
    """Whether targets may be all classes of each sample, ``(N, K)``, 0 or 1; else ``__call__`` refuses such targets.

    A loss that takes them checks them itself; class weights belong to a sample's one class.
    """

    counts: Tensor
    """Training images per class as a tensor, ``(K,)``, on the device of the loss."""

    weight: Tensor | None

    def __init__(
        self, class_counts: Sequence[int], weight: Sequence[float] | None = None, reduction: Reduction = "mean"
    ) -> None:
        super().__init__()
        check_word("reduction", reduction, Reduction)
        self.reduction: Reduction = reduction
        self.class_counts = checked_counts(class_counts)
        self.num_classes = len(self.class_counts)
        self.register_buffer("counts", torch.tensor(self.class_counts, dtype=torch.float64), persistent=False)
        self.register_buffer("weight", None, persistent=False)
        self.set_weight(weight)

    @property
    def rebalances(self) -> bool:
        """Whether minimising it corrects for class imbalance: once class weights are set, unless overridden."""
        return self.weight is not None

    def set_weight(self, weight: Sequence[float] | Tensor | None) -> None:
        """Set or clear the class weights; deferred re-weighting calls this in the course of training.

        They are in no state dict: a run that resumes sets them again, as ``DRW`` does.

        Args:
            weight: Weight of each class, length K; ``None`` for equal weights.

        Raises:
            UsageError: If there are not K numbers, or one is negative or not finite.
        """
        if weight is None:
            self.weight = None
            return
        number, name = self.num_classes, type(self).__name__
        wanted = f"`weight` must hold {number} finite numbers >= 0, one per class, for `{name}`"
        try:
            values = torch.as_tensor(weight, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError) as error:  # torch's own for what is no list of numbers
            raise UsageError(f"{wanted}, but got {short(weight)}.") from error
        fine = (values >= 0) & values.isfinite()
        if values.shape != (self.num_classes,) or not bool(fine.all()):
            wrong = (~fine).flatten().nonzero().flatten().tolist()
            found = numbers(values.flatten().tolist(), wrong)
            raise UsageError(f"{wanted}, but got {found} of shape {tuple(values.shape)}.")
        self.weight = values.to(self.counts)

    def extra_repr(self) -> str:
        """What is printed between the brackets."""
        return f"num_classes={self.num_classes}, {settings_of(self)}"

    def require_two_classes(self) -> None:
        """Refuse a single class, for losses that look at classes other than the target's."""
        if self.num_classes < 2:
            raise UsageError(f"`class_counts` must have at least 2 classes, but got {self.class_counts}.")

    # Typed Any, as torch's own losses are: strict type checkers refuse calls of a Tensor's untyped `backward`.
    def __call__(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Any:
        """:meth:`forward`, once the batch has been checked.

        Some losses would broadcast a wrong batch, or not notice another number of classes.

        Raises:
            UsageError: If ``logits`` has another shape than ``(N, K)``, or ``targets`` another shape than ``(N,)`` or
                another type than int64. Several classes of a sample, ``(N, K)``, or shares of them are refused too,
                unless the loss :attr:`takes_several_classes`: it then looks at them itself.
        """
        check_width(logits, self.num_classes)
        if targets.ndim != 2 or targets.shape[1] == 1:
            check_targets(targets, len(logits))
        elif not self.takes_several_classes:
            raise UsageError(
                f"`targets` must hold one class of each sample, (N,), but got shape {tuple(targets.shape)} for "
                f"`{type(self).__name__}`; the loss of a mixture of two classes is that for either of them, weighed by "
                f"its share, and samples of several classes need a loss that takes them, such as LogisticLoss (a loss "
                f"of your own sets `takes_several_classes = True`)."
            )
        return super().__call__(logits, targets, features)

    @abstractmethod
    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:
        """Loss of a batch.

        Args:
            logits: ``(N, K)``; half precision is raised to fp32, fp64 is kept.
            targets: ``(N,)``, int64.
            features: ``(N, D)``, for losses that look at them.

        Returns:
            A scalar; ``(N,)`` with ``reduction="none"``.
        """

    def reduce(self, losses: Tensor, targets: Tensor, over: Literal["weights", "samples"] = "weights") -> Tensor:
        """Weigh the losses of a batch by the class weights of their targets, and reduce them as asked.

        Every loss weighs its samples by this, except plain softmax cross entropies, for which
        :func:`~lt_lightning.losses.reduction.cross_entropy` does the same within torch's own function.

        Args:
            losses: ``(N,)``.
            targets: ``(N,)``, int64; looked at only if there are class weights.
            over: What ``mean`` divides by: ``weights``, the sum of the samples' weights, or ``samples``, their number.

        Returns:
            A scalar; ``(N,)`` with ``reduction="none"``.
        """
        weights = None if self.weight is None else self.weight.to(losses.dtype)[targets]
        if over == "samples" and weights is not None:
            return reduce(losses * weights, None, self.reduction)
        return reduce(losses, weights, self.reduction)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Class probabilities that belong to logits trained with this loss, ``(N, K)``, unless overridden.

        A softmax of the logits times :attr:`logit_scale`, or, if :attr:`one_vs_all`, the sigmoid of each, which need
        not sum to 1.
        """
        logits = at_least_fp32(logits) * self.logit_scale
        return torch.sigmoid(logits) if self.one_vs_all else torch.softmax(logits, dim=-1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Loss":
        super()._apply(keeping_precision(fn), recurse)  # type: ignore[no-untyped-call]
        return self

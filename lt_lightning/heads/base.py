"""The contract of every classifier head."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from lt_lightning.errors import UsageError, check_at_least_1, checked_counts
from lt_lightning.packages import is_ours
from lt_lightning.wording import settings_of

Moment = Literal["step", "epoch"]
"""When weights are projected: after each step or each epoch."""


class Head(nn.Module, ABC):
    """Base of all heads: features in, logits out.

    What a head trains is read from ``requires_grad`` of its parameters; one that trains nothing is tested, not fitted.

    Args:
        in_features: Length D of a feature vector.
        class_counts: Training images per class, length K.

    Raises:
        UsageError: If ``in_features`` or a count is below 1, or a count no whole number.
    """

    rebalances: bool = False
    """Whether :meth:`predict` corrects for class imbalance on its own."""

    project_every: Moment = "step"
    """When the training loop calls :meth:`project_`."""

    normalized: bool = False
    """Whether logits are plain cosines in [-1, 1]: margin losses, which scale them once, need that."""

    needs_features: bool = False
    """Whether :meth:`init_from_features` must be called before the head can be used: stage 2 does when a run starts."""

    def __init__(self, in_features: int, class_counts: Sequence[int]) -> None:
        super().__init__()
        check_at_least_1(in_features=in_features)
        self.in_features = in_features
        self.class_counts = checked_counts(class_counts)
        self.num_classes = len(self.class_counts)

    if TYPE_CHECKING:  # a call of an nn.Module is untyped otherwise

        def __call__(self, features: Tensor) -> Tensor:
            """:meth:`forward`."""

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Logits used in training: ``(N, D)`` to ``(N, K)``, in fp32 at least."""

    def predict(self, features: Tensor) -> Tensor:
        """Logits used at validation, test and prediction: ``(N, D)`` to ``(N, K)``."""
        return self(features)

    def init_from(self, weight: Tensor, bias: Tensor | None) -> None:  # noqa: ARG002
        """Start from a stage-1 classifier.

        Args:
            weight: ``(K, D)``.
            bias: ``(K,)``, or ``None`` if that classifier has none.

        Raises:
            UsageError: If the head cannot start from a linear classifier.
        """
        raise UsageError(f"`{type(self).__name__}` cannot start from a linear classifier: it defines no `init_from`.")

    def init_from_features(self, features: Tensor, targets: Tensor) -> None:  # noqa: ARG002
        """Start from the features of the training images, for heads that set :attr:`needs_features`.

        Args:
            features: ``(N, D)``, of every training image once, without augmentation, in any order. They may be shared
                with other heads, or mapped from a file for reading alone: a head does not change them.
            targets: ``(N,)``, int64.

        Raises:
            UsageError: If the head takes nothing from features.
        """
        raise UsageError(f"`{type(self).__name__}` takes nothing from features: it defines no `init_from_features`.")

    def check_classifier(self, weight: Tensor, bias: Tensor | None) -> None:
        """Refuse a stage-1 classifier of other shapes.

        Raises:
            UsageError: If a shape differs from this head's.
        """
        shape = (self.num_classes, self.in_features)
        if tuple(weight.shape) != shape:
            raise UsageError(
                f"`weight` of the stage-1 classifier must have shape {shape} (classes, features) for "
                f"`{type(self).__name__}`, but got {tuple(weight.shape)}."
            )
        if bias is not None and tuple(bias.shape) != shape[:1]:
            raise UsageError(
                f"`bias` of the stage-1 classifier must have shape {shape[:1]} for `{type(self).__name__}`, but got "
                f"{tuple(bias.shape)}."
            )

    def extra_repr(self) -> str:
        """What is printed between the brackets."""
        return f"num_classes={self.num_classes}, {settings_of(self)}"

    def project_(self) -> None:
        """Put the parameters back where they are allowed to be; called after every optimiser step or epoch."""

    def to_linear(self) -> nn.Linear:
        """The plain linear layer whose logits equal :meth:`predict`'s.

        Raises:
            UsageError: If there is none.
        """
        raise UsageError(f"`{type(self).__name__}` equals no plain linear layer.")

    def linear_form_holds(self) -> bool:
        """Whether :meth:`to_linear` is meant for this head's predictions, not inherited from one that has others.

        True for this package's heads. One of your own that defines :meth:`forward` or :meth:`predict` must define
        :meth:`to_linear` too, in the same class or in one derived from it. The layer is not tried here, as this is
        asked after every evaluation; ``checkpoints.to_linear`` tries it before it goes into a file.
        """
        for kind in type(self).__mro__:
            if is_ours(kind) or "to_linear" in vars(kind):
                return True
            if "forward" in vars(kind) or "predict" in vars(kind):
                return False
        return True

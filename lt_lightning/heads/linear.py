"""The plain linear classifier."""

from collections.abc import Sequence

from torch import Tensor

from lt_lightning.heads.affine import AffineHead


class LinearHead(AffineHead):
    """Logits ``Wx + b``. Trains weight and bias.

    Args:
        in_features: Length D of a feature vector.
        class_counts: Training images per class, length K.
        reset: Whether stage 2 starts from random weights, as classifier re-training (cRT) does, instead of stage 1's.

    References:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, for cRT.
    """

    def __init__(self, in_features: int, class_counts: Sequence[int], reset: bool = False) -> None:
        super().__init__(in_features, class_counts)
        self.reset = reset

    def forward(self, features: Tensor) -> Tensor:
        """Logits ``Wx + b``, ``(N, D)`` to ``(N, K)``, in fp32 at least."""
        return super().forward(features)

    def init_from(self, weight: Tensor, bias: Tensor | None) -> None:
        """Copy a stage-1 classifier, unless ``reset`` is set.

        Args:
            weight: ``(K, D)``.
            bias: ``(K,)``, or ``None`` for 0.

        Raises:
            UsageError: If a shape differs from this head's.
        """
        if self.reset:
            self.check_classifier(weight, bias)
        else:
            super().init_from(weight, bias)

"""The cosine classifier."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lt_lightning.errors import UsageError, check_above_0
from lt_lightning.functional.checks import check_width
from lt_lightning.functional.classifiers import cosine_logits
from lt_lightning.heads.affine import AffineHead


class CosineHead(AffineHead):
    """Logits ``s · cos(w_c, x)``. Trains the weights, and ``s`` on request.

    There is no bias; a stage-1 classifier's is left out. Margin losses that scale logits themselves need ``scale=1``.

    Args:
        in_features: Length D of a feature vector.
        class_counts: Training images per class, length K.
        scale: s, the largest possible logit; the default 16 is this package's.
        learnable_scale: Whether ``s`` trains too, from ``scale``.

    Raises:
        UsageError: If ``scale`` is not positive.
    """

    scale: float | nn.Parameter

    def __init__(
        self, in_features: int, class_counts: Sequence[int], scale: float = 16.0, learnable_scale: bool = False
    ) -> None:
        super().__init__(in_features, class_counts, bias=False)
        check_above_0(scale=scale)
        self.learnable_scale = learnable_scale
        self.scale = nn.Parameter(torch.tensor(float(scale))) if learnable_scale else float(scale)
        self.normalized = scale == 1 and not learnable_scale

    def forward(self, features: Tensor) -> Tensor:
        """Scaled cosines, ``(N, D)`` to ``(N, K)``, in fp32 at least."""
        check_width(features, self.in_features, "features")
        return self.scale * cosine_logits(features, self.weight)

    def to_linear(self) -> nn.Linear:
        """There is none: the length of a feature vector does not move its logits.

        Raises:
            UsageError: Always.
        """
        raise UsageError("`CosineHead` equals no plain linear layer: it divides each feature vector by its norm.")

"""Distribution alignment."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lt_lightning.errors import UsageError
from lt_lightning.functional.classifiers import align_logits
from lt_lightning.heads.affine import AffineHead


class DisAlignHead(AffineHead):
    r"""Logits of stage 1, moved by a line per class as far as the image's confidence says.

    .. math:: z'_c = σ(x) (a_c z_c + b_c) + (1 - σ(x)) z_c, \quad σ(x) = \mathrm{sigmoid}(u·x + c), \quad z = Wx + b

    Trains a (``scales``), b (``offsets``), u and c (``confidence``, one unit); W and its bias stay as stage 1 left
    them. It starts as the identity, a = 1 and b = 0, with u = 0.1 in each entry (the published code's) and c = 0. The
    published code writes ``(1 + σ a) z + σ b`` from a = 1, which is no identity at the start; this is the paper's form.

    Args:
        in_features: Length D of a feature vector.
        class_counts: Training images per class, length K.

    References:
        Zhang et al., "Distribution Alignment: A Unified Framework for Long-tail Visual Recognition", CVPR 2021,
        section 3.3 (adaptive calibration function).
    """

    def __init__(self, in_features: int, class_counts: Sequence[int]) -> None:
        super().__init__(in_features, class_counts)
        self.requires_grad_(False)
        self.scales = nn.Parameter(torch.ones(self.num_classes))
        self.offsets = nn.Parameter(torch.zeros(self.num_classes))
        self.confidence = nn.Linear(in_features, 1)
        nn.init.constant_(self.confidence.weight, 0.1)
        nn.init.zeros_(self.confidence.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Aligned logits, ``(N, D)`` to ``(N, K)``, in fp32 at least."""
        confidence = self.confidence
        return align_logits(
            super().forward(features), features, self.scales, self.offsets, confidence.weight, confidence.bias
        )

    def to_linear(self) -> nn.Linear:
        """There is none: how far logits are moved depends on the image.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            "`DisAlignHead` equals no plain linear layer: its logits move with a sigmoid of each feature vector."
        )

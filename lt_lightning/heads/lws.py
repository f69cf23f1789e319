"""Learnable weight scaling."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lt_lightning.heads.affine import AffineHead, make_linear


class LWSHead(AffineHead):
    """Logits ``(Wx + b) · f_c``. Trains one factor f per class, from 1; weight and bias stay as stage 1 left them.

    Args:
        in_features: Length D of a feature vector.
        class_counts: Training images per class, length K.

    References:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020; the factor
        multiplies the bias too, as in its published code.
    """

    def __init__(self, in_features: int, class_counts: Sequence[int]) -> None:
        super().__init__(in_features, class_counts)
        self.requires_grad_(False)
        self.scales = nn.Parameter(torch.ones(self.num_classes))

    def forward(self, features: Tensor) -> Tensor:
        """Scaled logits, ``(N, D)`` to ``(N, K)``, in fp32 at least."""
        return super().forward(features) * self.scales

    def to_linear(self) -> nn.Linear:
        """A linear layer with the scaled weight and bias."""
        assert self.bias is not None
        return make_linear(self.weight * self.scales.unsqueeze(1), self.bias * self.scales)

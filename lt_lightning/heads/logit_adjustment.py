"""Post-hoc logit adjustment."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lt_lightning.errors import check_at_least_0
from lt_lightning.functional.priors import log_prior
from lt_lightning.heads.affine import AffineHead, make_linear


class LogitAdjustmentHead(AffineHead):
    """Logits ``Wx + b``, from which prediction subtracts ``τ log prior``. Trains nothing.

    Args:
        in_features: Length D of a feature vector.
        class_counts: Training images per class over the whole training set, length K.
        tau: Strength; 1, the paper's default, is the correction that is consistent for balanced accuracy.

    Raises:
        UsageError: If ``tau`` is negative.

    References:
        Menon et al., "Long-Tail Learning via Logit Adjustment", ICLR 2021.
    """

    counts: Tensor

    def __init__(self, in_features: int, class_counts: Sequence[int], tau: float = 1.0) -> None:
        super().__init__(in_features, class_counts)
        check_at_least_0(tau=tau)
        self.tau = tau
        self.rebalances = tau > 0
        self.requires_grad_(False)
        # Integers, so that casting the head to half precision leaves the prior exact.
        self.register_buffer("counts", torch.tensor(self.class_counts), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Training logits ``Wx + b``, unadjusted, ``(N, D)`` to ``(N, K)``, in fp32 at least."""
        return super().forward(features)

    def predict(self, features: Tensor) -> Tensor:
        """Adjusted logits, ``(N, D)`` to ``(N, K)``, in fp32 at least."""
        logits: Tensor = self(features)
        return logits - self._adjustment().to(logits.dtype)

    def to_linear(self) -> nn.Linear:
        """A linear layer whose bias has taken in the adjustment."""
        assert self.bias is not None
        return make_linear(self.weight, (self.bias - self._adjustment()).to(self.bias.dtype))

    def _adjustment(self) -> Tensor:
        return self.tau * log_prior(self.counts)

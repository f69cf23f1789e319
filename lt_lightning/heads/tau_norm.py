"""τ-normalised classifier."""

from collections.abc import Sequence

from torch import Tensor, nn

from lt_lightning.errors import check_at_least_0
from lt_lightning.functional.checks import check_width
from lt_lightning.functional.classifiers import tau_normalize
from lt_lightning.functional.precision import linear
from lt_lightning.heads.affine import AffineHead, make_linear


class TauNormHead(AffineHead):
    """Logits ``w_c x / ‖w_c‖^τ``. Trains nothing: it re-weighs the stage-1 classifier, whose bias is left out.

    Args:
        in_features: Length D of a feature vector.
        class_counts: Training images per class, length K.
        tau: τ; 0 leaves the norms, 1, the default, makes them equal.

    Raises:
        UsageError: If ``tau`` is negative.

    References:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020.
    """

    def __init__(self, in_features: int, class_counts: Sequence[int], tau: float = 1.0) -> None:
        super().__init__(in_features, class_counts, bias=False)
        check_at_least_0(tau=tau)
        self.tau = tau
        self.rebalances = tau > 0
        self.requires_grad_(False)

    def forward(self, features: Tensor) -> Tensor:
        """Logits from the normalised weights, ``(N, D)`` to ``(N, K)``, in fp32 at least."""
        check_width(features, self.in_features, "features")
        return linear(features, tau_normalize(self.weight, self.tau))

    def to_linear(self) -> nn.Linear:
        """A linear layer with the normalised weights and no bias."""
        return make_linear(tau_normalize(self.weight, self.tau).to(self.weight.dtype), None)

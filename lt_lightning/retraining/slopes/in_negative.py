"""LGL-INR, whose means are over the samples of a batch, separately for each head."""

from collections.abc import Hashable, Sequence

from torch import Tensor

from lt_lightning.functional.in_negative import in_negative_terms
from lt_lightning.losses import LGLINRLoss, Loss
from lt_lightning.retraining.slopes.base import Slopes, constants


class InNegativeSlopes(Slopes):
    """Equal losses of this kind."""

    def __init__(self, losses: Sequence[Loss], like: Tensor) -> None:
        super().__init__(losses, like)
        (self.beta,) = {loss.beta for loss in losses if isinstance(loss, LGLINRLoss)}

    @staticmethod
    def key(loss: Loss) -> Hashable | None:
        """The constants of the loss."""
        return constants(loss) if type(loss) is LGLINRLoss and not loss.gather else None

    def __call__(self, logits: Tensor, targets: Tensor, features: Tensor) -> tuple[Tensor, float]:  # noqa: ARG002
        """Slopes ``(N, H, K)``, and 1."""
        return in_negative_terms(logits, targets, self.beta)[1], 1.0

"""LGL-INR, whose means are over the samples of a batch, apart for each head."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from lt_lightning.functional.softplus import softplus
from lt_lightning.losses import LGLINRLoss, Loss
from lt_lightning.retraining.slopes.base import Slopes, target_index
from lt_lightning.retraining.slopes.constants import constants

_NEVER = -1e30
"""A logit of probability 0 that, unlike -inf, leaves a column of nothing else finite."""


class InNegativeSlopes(Slopes):
    """Equal losses of this kind: every logit column, of whatever head, is a binary problem of its own.

    A softmax over samples i with ``β mean - log |S_i|``, S_i the samples of i's class, gives each its part
    ``a_jk / |S_j|`` of its class's weight, so that classes need no rows of their own as they have in
    :func:`in_negative_reweighted_loss`.
    """

    def __init__(self, losses: Sequence[Loss], like: Tensor) -> None:
        super().__init__(losses, like)
        (self.beta,) = {loss.beta for loss in losses if isinstance(loss, LGLINRLoss)}

    @staticmethod
    def key(loss: Loss) -> Hashable | None:
        """The constants of the loss."""
        return constants(loss) if type(loss) is LGLINRLoss and not loss.gather else None

    def __call__(self, logits: Tensor, targets: Tensor, features: Tensor) -> tuple[Tensor, float]:  # noqa: ARG002
        """Slopes ``(N, H, K)``, and 1."""
        index = target_index(logits, targets)
        alike = (targets.unsqueeze(1) == targets).to(logits.dtype)
        sizes = alike.sum(dim=1)
        averages = alike / sizes
        means = (averages @ softplus(logits).flatten(1)).view(logits.shape)
        chances = logits.sigmoid()
        hardness = torch.addmm(-sizes.log().unsqueeze(1), averages, chances.flatten(1), alpha=self.beta)
        weights = torch.softmax(hardness.view(logits.shape).scatter_(2, index, _NEVER), dim=0)
        weights.scatter_(2, index, 0.0)  # a class that is alone in the batch has no negative one
        # With c = a (mean - Σ a mean), the gradient at a sample of class j is (a_jk + β c_jk (1 - s_k)) s_k / |S_j|.
        pull = means.mul_(weights)
        pull.addcmul_(weights, pull.sum(dim=0, keepdim=True), value=-1)
        slopes = weights.add_(pull.addcmul_(pull, chances, value=-1), alpha=self.beta).mul_(chances)
        own = torch.sigmoid(-logits.gather(2, index)).div_(sizes.view(-1, 1, 1))
        return slopes.scatter_(2, index, own.neg_()), 1.0

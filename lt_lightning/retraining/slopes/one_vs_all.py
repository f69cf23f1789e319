"""Plain losses of one sigmoid per class."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from lt_lightning.losses import ClassBalancedLoss, LogisticLoss, Loss
from lt_lightning.retraining.slopes.base import Slopes, constants, target_index


class OneVsAllSlopes(Slopes):
    """Equal losses of these kinds: ``sigmoid(z)`` less 1 at the target.

    They are :class:`LogisticLoss` without class weights and the sigmoids of :class:`ClassBalancedLoss`, whose weights
    multiply samples and whose mean is over classes too.
    """

    def __init__(self, losses: Sequence[Loss], like: Tensor) -> None:
        super().__init__(losses, like)
        balanced = isinstance(losses[0], ClassBalancedLoss)
        self.share = 1 / losses[0].num_classes if balanced else 1.0
        self.weight = None if losses[0].weight is None else losses[0].weight.to(like)

    @staticmethod
    def key(loss: Loss) -> Hashable | None:
        """The constants of the loss."""
        plain = type(loss) is LogisticLoss and loss.weight is None
        balanced = isinstance(loss, ClassBalancedLoss) and type(loss) is ClassBalancedLoss and loss.kind == "sigmoid"
        return constants(loss) if (plain or balanced) and loss.reduction == "mean" else None

    def __call__(self, logits: Tensor, targets: Tensor, features: Tensor) -> tuple[Tensor, float]:  # noqa: ARG002
        """Slopes ``(N, H, K)``, and 1/N or 1/(NK)."""
        index = target_index(logits, targets)
        # Not 1 taken off the target's sigmoid, which would leave no digits where that is near 1.
        own = torch.sigmoid(-logits.gather(2, index)).neg_()
        slopes = torch.sigmoid(logits).scatter_(2, index, own)
        if self.weight is not None:
            slopes.mul_(self.weight[targets].view(-1, 1, 1))
        return slopes, self.share / len(logits)

"""What heads with a weight vector per class share."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lt_lightning.functional.checks import check_width
from lt_lightning.functional.precision import linear
from lt_lightning.heads.base import Head


class AffineHead(Head):
    """Base of heads that keep a weight vector for each class and, unless told otherwise, a bias.

    Parameters are named and initialised as in :class:`torch.nn.Linear`, so checkpoints read naturally.

    Args:
        in_features: Length D of a feature vector.
        class_counts: Training images per class, length K.
        bias: Whether there is a bias.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, in_features: int, class_counts: Sequence[int], bias: bool = True) -> None:
        super().__init__(in_features, class_counts)
        fresh = nn.Linear(in_features, self.num_classes, bias=bias)
        self.weight = nn.Parameter(fresh.weight.detach())
        self.register_parameter("bias", nn.Parameter(fresh.bias.detach()) if bias else None)

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Logits ``Wx + b``, ``(N, D)`` to ``(N, K)``, in fp32 at least; each head says what it makes of them."""
        check_width(features, self.in_features, "features")
        return linear(features, self.weight, self.bias)

    def init_from(self, weight: Tensor, bias: Tensor | None) -> None:
        """Copy a stage-1 classifier; a bias it lacks becomes 0, a bias this head lacks is left out.

        Args:
            weight: ``(K, D)``.
            bias: ``(K,)`` or ``None``.

        Raises:
            UsageError: If a shape differs from this head's.
        """
        self.check_classifier(weight, bias)
        with torch.no_grad():
            self.weight.copy_(weight)
            if self.bias is not None:
                self.bias.zero_() if bias is None else self.bias.copy_(bias)

    def to_linear(self) -> nn.Linear:
        """A linear layer with a copy of weight and bias."""
        return make_linear(self.weight, self.bias)


def make_linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear layer with copies of the given weight ``(K, D)`` and bias ``(K,)``, without drawing random numbers."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    return layer

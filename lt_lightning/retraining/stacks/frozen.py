"""Stage 1's logits under heads that leave weight and bias alone."""

import torch
from torch import Tensor

from lt_lightning.retraining.stacks.base import HeadStack


class FrozenLogits:
    """Logits of weights that do not train; heads that all have the same ones, as from one stage 1, share them.

    Args:
        stack: Of heads with ``weight`` and ``bias``.
    """

    def __init__(self, stack: HeadStack) -> None:
        weight, bias = stack.stacked("weight"), stack.stacked("bias")
        if bool((weight == weight[:1]).all()) and bool((bias == bias[:1]).all()):
            weight, bias = weight[:1].clone(), bias[:1].clone()  # a view would keep all of them
        self.weight, self.bias = weight.flatten(0, 1).t(), bias.flatten()
        self.shape = bias.shape

    def __call__(self, features: Tensor) -> Tensor:
        """``(N, D)`` to ``(N, H, K)``, or ``(N, 1, K)`` where heads share them."""
        return torch.addmm(self.bias, features, self.weight).view(len(features), *self.shape)

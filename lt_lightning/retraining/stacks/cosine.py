"""Cosine heads, their scales fixed or learnt."""

from collections.abc import Sequence

from torch import Tensor

from lt_lightning.functional.classifiers import EPSILON, directions
from lt_lightning.heads import CosineHead, Head
from lt_lightning.retraining.stacks.base import HeadStack, Pull


class CosineStack(HeadStack):
    """Weights of length s in one matrix: a product for the logits, and one for the gradients by them."""

    takes = (CosineHead,)

    def __init__(self, heads: Sequence[Head], momentum: float) -> None:
        super().__init__(heads, momentum)
        self.learnt = len(self.values) > 1
        scales = [head.scale for head in self.heads if isinstance(head, CosineHead)]
        self.scales = self.values[1] if self.learnt else self.values[0].new_tensor(scales)

    @staticmethod
    def names(head: Head) -> list[str]:
        """Weight, and scale where that is learnt."""
        return ["weight", "scale"] if getattr(head, "learnable_scale", False) else ["weight"]

    def forward(self, features: Tensor) -> tuple[Tensor, Pull]:
        """Logits ``s · cos(w, x)``, ``(N, H, K)``."""
        weight, inputs = self.values[0], directions(features)
        norms = weight.norm(dim=2, keepdim=True)
        lengths = norms.clamp_min(EPSILON)
        factors = self.scales.view(-1, 1, 1) / lengths
        logits = inputs @ (weight * factors).flatten(0, 1).t()

        def pull(slopes: Tensor, share: float) -> None:
            # By the weights of length s; its part along them changes only their length.
            gradient = (slopes.flatten(1).t() @ inputs).view(weight.shape)
            along = (gradient * weight).sum(dim=2, keepdim=True)
            if self.learnt:
                self.velocities[1].mul_(self.momentum).add_((along / lengths).sum(dim=(1, 2)), alpha=share)
            gradient.addcmul_(weight, along.div_(lengths.square()).mul_(norms >= EPSILON), value=-1)
            self.velocities[0].mul_(self.momentum).addcmul_(gradient, factors, value=share)

        return logits.view(len(features), *weight.shape[:2]), pull

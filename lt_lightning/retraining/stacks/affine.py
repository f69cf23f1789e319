"""Linear heads, their weights bounded or not."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lt_lightning.functional.classifiers import EPSILON
from lt_lightning.heads import Head, LinearHead, MaxNormHead
from lt_lightning.retraining.stacks.base import HeadStack, Pull


class AffineStack(HeadStack):
    """Weights in one matrix: a product for the logits and one for the gradients, into which momentum is folded."""

    takes = (LinearHead, MaxNormHead)

    def __init__(self, heads: Sequence[Head], momentum: float) -> None:
        super().__init__(heads, momentum)
        weight, bias = self.values
        self.rows, self.biases = weight.flatten(0, 1).t(), bias.flatten()  # views: all changes are in place
        self.row_velocities = self.velocities[0].flatten(0, 1)
        self.radii = {at_step: self._radii(at_step) for at_step in (True, False)}

    @staticmethod
    def names(head: Head) -> list[str]:  # noqa: ARG004
        """Weight and bias."""
        return ["weight", "bias"]

    def forward(self, features: Tensor) -> tuple[Tensor, Pull]:
        """Logits ``Wx + b``, ``(N, H, K)``."""
        logits = torch.addmm(self.biases, features, self.rows)

        def pull(slopes: Tensor, share: float) -> None:
            self.row_velocities.addmm_(slopes.flatten(1).t(), features, beta=self.momentum, alpha=share)
            self.velocities[1].mul_(self.momentum).add_(slopes.sum(dim=0), alpha=share)

        return logits.view(len(features), *self.values[1].shape), pull

    def project(self, at_step: bool) -> None:
        """Shorten the weight vectors of heads with a radius that are projected now."""
        radii = self.radii[at_step]
        if radii is not None:
            norms = self.values[0].norm(dim=2, keepdim=True)
            self.values[0].mul_((radii / norms.clamp_min_(EPSILON)).clamp_max_(1.0))

    def _radii(self, at_step: bool) -> Tensor | None:
        """Largest norm of each head's weights, infinite where there is no bound now, ``(H, 1, 1)``."""
        unbounded = self.values[0].new_full((), torch.inf)
        radii = [
            head.radius.to(unbounded)
            if isinstance(head, MaxNormHead) and (head.project_every == "step") == at_step
            else unbounded
            for head in self.heads
        ]
        found = torch.stack(radii).view(-1, 1, 1)
        return found if bool(found.isfinite().any()) else None

"""The contract of every loss."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lt_lightning.errors import UsageError


class Loss(nn.Module, ABC):
    """Base of all losses: class counts in, a scalar per batch out.

    Args:
        class_counts: Training images per class, length K. Losses that only need K take them all the same, so that one
            link from the data serves all.
        weight: Weight of each class, length K; ``None`` for equal weights.

    Raises:
        UsageError: If a count is below 1, or ``weight`` has another length or a negative entry.
    """

    rebalances: bool = False
    """Whether minimising it corrects for class imbalance (true as well once class weights are set)."""

    logit_scale: float = 1.0
    """What logits are multiplied by inside the loss, hence before probabilities are taken."""

    weight: Tensor | None

    def __init__(self, class_counts: Sequence[int], weight: Sequence[float] | None = None) -> None:
        super().__init__()
        self.class_counts = [int(count) for count in class_counts]
        if not self.class_counts or min(self.class_counts) < 1:
            raise UsageError(f"`class_counts` must hold at least 1 for each class, but got {self.class_counts}.")
        self.num_classes = len(self.class_counts)
        self.register_buffer("weight", None, persistent=False)
        self.set_weight(weight)

    def set_weight(self, weight: Sequence[float] | Tensor | None) -> None:
        """Set or clear the class weights; deferred re-weighting calls this in the course of training."""
        if weight is None:
            self.weight = None
            return
        values = torch.as_tensor(weight, dtype=torch.float64)
        if values.shape != (self.num_classes,) or bool((values < 0).any()):
            raise UsageError(
                f"`weight` must hold {self.num_classes} numbers >= 0, one per class, but got shape {tuple(values.shape)}."
            )
        device = self.weight.device if self.weight is not None else None
        self.weight = values.to(device)

    @abstractmethod
    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:
        """Loss of a batch.

        Args:
            logits: ``(N, K)``; half precision is raised to fp32, fp64 is kept.
            targets: ``(N,)``, int64.
            features: ``(N, D)``, for losses that look at them.

        Returns:
            A scalar.
        """

    def probabilities(self, logits: Tensor) -> Tensor:
        """Class probabilities that belong to logits trained with this loss, ``(N, K)``: softmax unless overridden."""
        return torch.softmax(logits.float() * self.logit_scale, dim=-1)

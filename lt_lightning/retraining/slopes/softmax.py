"""Softmax losses, whatever their constants."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from lt_lightning.losses import Loss
from lt_lightning.retraining.slopes.base import Slopes, target_index
from lt_lightning.retraining.slopes.forms import SoftmaxForm, softmax_form


class SoftmaxSlopes(Slopes):
    """Losses of one formula with each head's own constants: see :class:`SoftmaxForm`."""

    def __init__(self, losses: Sequence[Loss], like: Tensor) -> None:
        super().__init__(losses, like)
        form = SoftmaxForm.stack([form for form in map(softmax_form, losses) if form is not None])
        # Parts that change nothing are left out of every step.
        self.scale = _unless(form.scale, 1.0, like)
        self.offset = _unless(form.offset, 0.0, like)
        self.margin = _unless(form.margin, 0.0, like)
        self.smoothing = _unless(form.smoothing, 0.0, like)
        self.sample_weight = _unless(form.weight, 1.0, like)

    @staticmethod
    def key(loss: Loss) -> Hashable | None:
        """One for all that have the form."""
        return SoftmaxForm if softmax_form(loss) is not None else None

    def __call__(self, logits: Tensor, targets: Tensor, features: Tensor) -> tuple[Tensor, float]:  # noqa: ARG002
        """Slopes ``(N, H, K)``, and 1/N unless samples have weights."""
        number, heads, classes = logits.shape
        index = target_index(logits, targets)
        if self.scale is not None:
            logits = logits * self.scale
        if self.offset is not None:
            logits = logits + self.offset
        if self.margin is not None:
            logits = logits.scatter_add(2, index, -_of(self.margin, targets))
        slopes = torch.softmax(logits, dim=2)
        if self.smoothing is None:
            slopes.scatter_add_(2, index, logits.new_full((1, 1, 1), -1.0).expand(number, heads, 1))
        else:
            smoothing = _of(self.smoothing, targets)
            slopes.sub_(smoothing / classes).scatter_add_(2, index, smoothing - 1)
        share = 1 / number
        if self.sample_weight is not None:
            weights = _of(self.sample_weight, targets)
            slopes.mul_(weights / weights.sum(dim=0).clamp_min(torch.finfo(weights.dtype).tiny))
            share = 1.0
        return slopes if self.scale is None else slopes.mul_(self.scale), share


def _unless(values: Tensor, neutral: float, like: Tensor) -> Tensor | None:
    return None if bool((values == neutral).all()) else values.to(like)


def _of(values: Tensor, targets: Tensor) -> Tensor:
    """What belongs to the targets' classes, ``(H, K)`` to ``(N, H, 1)``."""
    return values[:, targets].t().unsqueeze(2)

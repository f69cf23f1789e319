"""Softmax losses as numbers in one formula, so that many heads with different losses train in one product."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from lt_lightning.losses import (
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    CrossEntropyLoss,
    GeneralizedReweightLoss,
    LabelAwareSmoothingLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    LORTLoss,
    Loss,
    VectorScalingLoss,
)

Description = dict[str, Tensor | float]


@dataclass(frozen=True)
class SoftmaxForm:
    """Weighted mean of ``CE(q, softmax(scale · z + offset - margin_y at the target))``.

    The label ``q`` has ``1 - smoothing_y + smoothing_y / K`` at the target and ``smoothing_y / K`` elsewhere.

    Attributes:
        scale: Factor of each class's logit, ``(K,)``.
        offset: What is added to each class's logit, ``(K,)``.
        margin: What is taken off the target's logit, by the class of the target, ``(K,)``.
        smoothing: Share of the label that is spread over all classes, by the class of the target, ``(K,)``.
        weight: Weight of a sample, by its class, ``(K,)``.
    """

    scale: Tensor
    offset: Tensor
    margin: Tensor
    smoothing: Tensor
    weight: Tensor

    @staticmethod
    def stack(forms: "list[SoftmaxForm]") -> "SoftmaxForm":
        """Forms of H heads as one whose tensors are ``(H, K)``."""
        return SoftmaxForm(
            **{part.name: torch.stack([getattr(form, part.name) for form in forms]) for part in fields(SoftmaxForm)}
        )


def softmax_form(loss: Loss) -> SoftmaxForm | None:
    """The loss in this form, in fp64; ``None`` for one that has none.

    Only classes known here count, not classes derived from them, which may compute something else.
    """
    describe = _FORMS.get(type(loss))
    described = describe(loss) if describe is not None and loss.reduction == "mean" else None
    if described is None:
        return None
    parts: Description = {"scale": 1.0, "offset": 0.0, "margin": 0.0, "smoothing": 0.0, "weight": 1.0}
    if loss.weight is not None:
        parts["weight"] = loss.weight
    ones = torch.ones_like(loss.counts)
    return SoftmaxForm(**{name: ones * value for name, value in (parts | described).items()})


def _cross_entropy(loss: CrossEntropyLoss) -> Description | None:
    # Torch's weights of a smoothed label belong to classes, not to samples.
    if loss.label_smoothing and loss.weight is not None:
        return None
    return {"smoothing": loss.label_smoothing}


def _logit_adjusted(loss: LogitAdjustedLoss) -> Description:
    return {"offset": loss.tau * loss.log_prior}


def _class_balanced(loss: ClassBalancedLoss) -> Description | None:
    return {} if loss.kind == "softmax" else None


def _ldam(loss: LDAMLoss) -> Description:
    return {"scale": loss.logit_scale, "margin": loss.logit_scale * loss.margins}


_FORMS: dict[type[Loss], Callable[..., Description | None]] = {
    CrossEntropyLoss: _cross_entropy,
    LORTLoss: lambda loss: {"smoothing": loss.delta},
    LogitAdjustedLoss: _logit_adjusted,
    BalancedSoftmaxLoss: _logit_adjusted,
    ClassBalancedLoss: _class_balanced,
    LDAMLoss: _ldam,
    GeneralizedReweightLoss: lambda _: {},  # its class weights are set above
    LabelAwareSmoothingLoss: lambda loss: {"smoothing": loss.smoothing},
    VectorScalingLoss: lambda loss: {"scale": loss.factors, "offset": loss.shifts},
}

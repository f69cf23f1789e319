"""Equalization loss v2: binary cross entropies weighted by each class's ratio of gradients so far."""

from typing import NamedTuple

import torch
from torch import Tensor

from lt_lightning.functional.hand_written import with_gradient
from lt_lightning.functional.softplus import sloped_softplus

EPSILON = 1e-10
"""What the published code adds to the sum of negative gradients before dividing by it."""

UNSEEN = 100.0
"""Ratio of a class without any gradient yet: so high that its weights are 1."""


def equalization_weights(
    positive: Tensor, negative: Tensor, gamma: float, mu: float, alpha: float
) -> tuple[Tensor, Tensor]:
    """Weights of each class as a positive and as a negative one.

    Args:
        positive: Gradients that raised each class's logit, summed up, ``(K,)``, floating point.
        negative: Gradients that lowered it, ``(K,)``.
        gamma: Steepness of the map from ratio to weight.
        mu: Ratio at which a negative class weighs 1/2.
        alpha: How much more a positive class weighs where its negative weight is 0.

    Returns:
        ``1 + α (1 - f(g))`` and ``f(g) = sigmoid(γ (g - μ))`` for the ratio g of the two sums, two tensors ``(K,)``.

    References:
        Tan et al., "Equalization Loss v2", CVPR 2021; constants of the ratio as in its published code.
    """
    ratio = torch.where(positive + negative > 0, positive / (negative + EPSILON), UNSEEN)
    as_negative = torch.sigmoid(gamma * (ratio - mu))
    return 1 + alpha * (1 - as_negative), as_negative


class EqualizationTerms(NamedTuple):
    """What a batch gives: its losses and the gradients to add up."""

    losses: Tensor
    """Of each sample, ``(N,)``."""

    positive: Tensor
    """``Σ_{i: y = k} w⁺_k (1 - s_ik)``, ``(K,)``."""

    negative: Tensor
    """``Σ_{i: y ≠ k} w⁻_k s_ik``, ``(K,)``."""


def equalization_loss(logits: Tensor, targets: Tensor, as_positive: Tensor, as_negative: Tensor) -> EqualizationTerms:
    """Weighted binary cross entropy summed over classes.

    Args:
        logits: ``(N, K)``, fp32 at least.
        targets: ``(N,)``, int64.
        as_positive: Weight of each class in samples of that class, ``(K,)``, of the dtype of ``logits``.
        as_negative: Weight of each class in samples of others, ``(K,)``, likewise.

    Returns:
        Losses of the samples and sums of gradients, without a factor 1/N.
    """
    with torch.no_grad():
        index = targets.unsqueeze(1)
        values, gradient = sloped_softplus(logits)
        values, gradient = values.mul_(as_negative).scatter_(1, index, 0.0), gradient.mul_(as_negative)
        negative = gradient.scatter_(1, index, 0.0).sum(dim=0)
        weights = as_positive[targets].unsqueeze(1)
        own, slopes = sloped_softplus(-logits.gather(1, index))
        slopes *= weights
        positive = torch.zeros_like(negative).index_add_(0, targets, slopes.squeeze(1))
        gradient.scatter_(1, index, -slopes)
        losses = values.sum(dim=1).add_((own * weights).squeeze(1))
    return EqualizationTerms(with_gradient(logits, losses, gradient), positive, negative)

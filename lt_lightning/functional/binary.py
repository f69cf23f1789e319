"""Binary cross entropies over all classes, of sigmoid and of softmax probabilities."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lt_lightning.functional.hand_written import with_gradient
from lt_lightning.functional.logits import top_class
from lt_lightning.functional.softplus import sloped_softplus


def one_vs_all_loss(logits: Tensor, targets: Tensor, gamma: float = 0.0) -> Tensor:
    """Sigmoid cross entropy summed over classes, with the focal factor ``(1 - p_t)^γ``.

    ``p_t`` is the probability given to the truth: sigmoid(z) for the target, 1 - sigmoid(z) for every other class.

    Args:
        logits: ``(N, K)``, fp32 at least.
        targets: Class of each sample, ``(N,)``, int64; or all its classes, ``(N, K)``, 0 or 1 of any type.
        gamma: Exponent of the focal factor; 0 for none.

    Returns:
        Loss of each sample, ``(N,)``.

    References:
        Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, without α. For γ = 0: Dong et al., "Single-Label
        Multi-Class Image Classification by Deep Logistic Regression", AAAI 2019, eq. 3.
    """
    with torch.no_grad():
        losses, gradient = sloped_softplus(_negated_at(targets, logits.clone()), gamma)
        gradient = _negated_at(targets, gradient)
    return with_gradient(logits, losses.sum(dim=1), gradient)


def _negated_at(targets: Tensor, values: Tensor) -> Tensor:
    """``values`` with the sign flipped at the positive classes; may overwrite them."""
    if targets.dim() == 2:
        return torch.where(targets > 0, -values, values)
    index = targets.unsqueeze(1)
    return values.scatter_(1, index, -values.gather(1, index))


def softmax_bce_loss(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Binary cross entropy of softmax probabilities, summed over classes; finite for any finite logits.

    Only the largest logit, t, can have a probability above 1/2. Its complement is taken from the other classes' logits:
    with r their softmax among themselves and o their common share, ``p_k = o r_k`` and ``1 - p_t = o`` without any
    subtraction.

    Args:
        logits: ``(N, K)``, K at least 2, fp32 at least.
        targets: ``(N,)``, int64.
        weights: Weights of each sample's negative classes, ``(N, K)``, not differentiated; ``None`` for 1.

    Returns:
        Loss of each sample, ``-log p_y - Σ_{k≠y} w_k log(1 - p_k)``, ``(N,)``.
    """
    with torch.no_grad():
        index, top = targets.unsqueeze(1), top_class(logits).unsqueeze(1)
        missed = top != index
        of_top, of_target = logits.gather(1, top), logits.gather(1, index)
        rest = logits.scatter(1, top, -torch.inf)
        second = rest.amax(dim=1, keepdim=True)
        shares = torch.softmax(rest, dim=1, out=rest)
        gap = second - shares.amax(dim=1, keepdim=True).log() - of_top  # of log sum exp of the rest to the top
        share, of_rest = torch.sigmoid(-gap), torch.sigmoid(gap)
        chances = shares * of_rest
        complements = 1 - chances
        odds = (chances / complements).scatter_(1, index, 0.0)
        of_missed: Tensor | float = 1.0
        if weights is not None:
            odds, of_missed = odds.mul_(weights), weights.gather(1, top)
        all_odds = odds.sum(dim=1, keepdim=True)
        # d/dz_j of -log(1 - p_k) is odds_k (1{j=k} - p_j); the odds of t, which may be infinite, cancel out.
        gradient = torch.addcmul(odds, shares, of_rest * (1 - all_odds) - share * missed * of_missed, out=shares)
        del odds
        gradient.scatter_add_(1, index, -torch.ones_like(gap))
        at_top = torch.where(missed, share * (1 + of_missed - all_odds), -(of_rest + share * all_odds))
        gradient.scatter_(1, top, at_top)
        # -log p_y is softplus(gap) for y = t, else gap + softplus(-gap) + z_t - z_y; -log(1 - p_t) is softplus(-gap).
        wrong = gap + of_top - of_target - (1 + of_missed) * F.logsigmoid(gap)
        entropy = torch.where(missed, wrong, -F.logsigmoid(-gap))
        negatives = _logarithms(complements, chances).scatter_(1, index, 0.0)
        negatives = (negatives if weights is None else negatives.mul_(weights)).sum(dim=1)
        losses = entropy.squeeze(1) - negatives
    return with_gradient(logits, losses, gradient)


def _logarithms(complements: Tensor, chances: Tensor) -> Tensor:
    """``log(1 - p)`` from the rounded 1 - p and p itself, both of which may be overwritten; see :func:`softplus`."""
    if chances.dtype != torch.float32 or chances.device.type != "cpu":
        return torch.log1p(chances.neg_())
    logarithms = complements.log()
    return logarithms.sub_(chances.sub_(torch.sub(1, complements, out=complements)))

"""Binary cross entropies over all classes, of sigmoid and of softmax probabilities."""

import torch
from torch import Tensor
from torch.nn import functional as F


def one_vs_all_loss(logits: Tensor, targets: Tensor, gamma: float = 0.0) -> Tensor:
    """Sigmoid cross entropy summed over classes, with the focal factor ``(1 - p_t)^γ``.

    ``p_t`` is the probability given to the truth: sigmoid(z) for the target, 1 - sigmoid(z) for every other class.

    Args:
        logits: ``(N, K)``, fp32 at least.
        targets: ``(N,)``, int64.
        gamma: Exponent of the focal factor; 0 for none.

    Returns:
        Loss of each sample, ``(N,)``.

    References:
        Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, without α.
    """
    index = targets.unsqueeze(1)
    wrongness = logits.scatter(1, index, -logits.gather(1, index))
    losses = -F.logsigmoid(-wrongness)
    if gamma:
        # A power of sigmoid has an infinite gradient at 0 for γ < 1; the exponential of a logarithm has none.
        losses = losses * torch.exp(gamma * F.logsigmoid(wrongness))
    return losses.sum(dim=1)


def log_one_minus_softmax(logits: Tensor) -> Tensor:
    """``log(1 - softmax(z))``, finite for any finite logits.

    Only the largest logit can have a probability above 1/2; for it, ``1 - p`` is the other classes' share, taken from
    their logits instead of by subtraction.

    Args:
        logits: ``(N, K)``, K at least 2, fp32 at least.

    Returns:
        ``(N, K)``.
    """
    top = logits.argmax(dim=1, keepdim=True)
    rest = logits.scatter(1, top, -torch.inf).logsumexp(dim=1, keepdim=True)
    of_top = F.logsigmoid(rest - logits.gather(1, top))
    small = logits.softmax(dim=1).scatter(1, top, 0.0)
    return torch.log1p(-small).scatter(1, top, of_top)


def softmax_bce_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross entropy of softmax probabilities, summed over classes.

    Args:
        logits: ``(N, K)``, K at least 2, fp32 at least.
        targets: ``(N,)``, int64.

    Returns:
        Loss of each sample, ``-log p_y - Σ_{k≠y} log(1 - p_k)``, ``(N,)``.
    """
    index = targets.unsqueeze(1)
    negatives = log_one_minus_softmax(logits).scatter(1, index, 0.0).sum(dim=1)
    return F.cross_entropy(logits, targets, reduction="none") - negatives

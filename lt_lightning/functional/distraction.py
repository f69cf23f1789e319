"""How much of a loss and of its gradient the target class gets, and how much all the others."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lt_lightning.functional.binary import softmax_bce_loss
from lt_lightning.functional.precision import at_least_fp32


class Distraction(NamedTuple):
    """Scalars of one batch, DLR's Figure 2 (b) to (d)."""

    positive_loss: Tensor
    """Mean over samples of ``-log p_y``."""

    negative_loss: Tensor
    """Mean over samples of ``-Σ_{k≠y} log(1 - p_k)``."""

    gradient_ratio: Tensor
    """``Σ |∂L/∂z_y| / Σ_{k≠y} |∂L/∂z_k|`` over the batch."""


@torch.no_grad()
def distraction(logits: Tensor, targets: Tensor, gradients: Tensor, one_vs_all: bool) -> Distraction:
    """Share of the positive class in a batch's loss and gradient.

    Where its many negative classes dominate a one-vs-all loss ("negative class distraction"), the ratio is near 0. For
    softmax cross entropy it is 1: what the target gains the others lose. That loss has a positive part only; the
    negative one is computed from its probabilities as if each were a sigmoid's.

    Args:
        logits: ``(N, K)``, K at least 2, already multiplied by the loss's ``logit_scale``.
        targets: ``(N,)``, int64.
        gradients: Of the loss with respect to the logits, ``(N, K)``; any common factor cancels.
        one_vs_all: Whether probabilities are sigmoid instead of softmax.

    References:
        Dong et al., "Single-Label Multi-Class Image Classification by Deep Logistic Regression" (DLR), AAAI 2019,
        Figure 2.
    """
    logits, index = at_least_fp32(logits), targets.unsqueeze(1)
    if one_vs_all:
        positive = -F.logsigmoid(logits.gather(1, index)).squeeze(1)
        negative = -F.logsigmoid(-logits).scatter(1, index, 0.0).sum(dim=1)
    else:
        positive = F.cross_entropy(logits, targets, reduction="none")
        negative = (softmax_bce_loss(logits, targets) - positive).clamp_min(0.0)
    sizes = at_least_fp32(gradients).abs()
    of_positives, of_negatives = sizes.gather(1, index).sum(), sizes.scatter(1, index, 0.0).sum()
    return Distraction(positive.mean(), negative.mean(), of_positives / of_negatives)

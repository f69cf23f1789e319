"""Cross entropy with a regulariser that flattens the other classes, in one pass over the logits."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lt_lightning.functional.hand_written import refuse_second_derivative


def large_margin_terms(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy and large-margin regulariser of each sample.

    The regulariser is ``½ Σ_{c≠y} (q_c - 1/(K-1)) log q_c`` with q the softmax over the classes other than the target:
    half the Jeffreys divergence between q and the uniform distribution. The normaliser of q cancels, which leaves
    ``½ (Σ q_c z_c - mean z_c)``.

    Args:
        logits: ``(N, K)``, K at least 2, fp32 at least.
        targets: ``(N,)``, int64.

    Returns:
        Two tensors ``(N,)``, differentiable once: a backward pass with ``create_graph=True`` raises a
        :class:`UsageError`. The second is 0 exactly when the non-target logits are equal, hence always at K = 2.

    References:
        Kobayashi, "Large-Margin in Softmax Cross-Entropy Loss", BMVC 2019.
    """
    cross_entropy, regularizer = _LargeMarginTerms.apply(logits, targets)
    return cross_entropy, regularizer


class _LargeMarginTerms(torch.autograd.Function):
    # Written by hand because both terms and both gradients share one exponential per logit: forward and backward take
    # about 2 times torch's cross entropy at K = 1000 and 8142, against 4 times for plain autograd of the same formula.

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        index = targets.unsqueeze(1)
        # -inf only goes through exp, so it is 0 before anything is multiplied by it.
        centred = logits.scatter(1, index, -torch.inf)
        top = centred.amax(dim=1, keepdim=True)
        shares = centred.sub_(top).exp()
        total = shares.sum(dim=1, keepdim=True)
        shares.div_(total)
        centred.scatter_(1, index, 0.0)
        expected = (shares * centred).sum(dim=1, keepdim=True)
        mean = centred.sum(dim=1, keepdim=True) / (logits.shape[1] - 1)
        gap = total.log() + (top - logits.gather(1, index))
        ctx.save_for_backward(shares, centred, expected, gap, index)
        # Not softplus, which drops exp(-gap) from a gap of 20 on.
        return -F.logsigmoid(-gap).squeeze(1), ((expected - mean) / 2).squeeze(1)

    @staticmethod
    def backward(ctx: Any, of_cross_entropy: Tensor, of_regularizer: Tensor) -> tuple[Tensor, None]:
        refuse_second_derivative()
        shares, centred, expected, gap, index = ctx.saved_tensors
        wrong = gap.sigmoid() * of_cross_entropy.unsqueeze(1)  # 1 - p_y
        half = of_regularizer.unsqueeze(1) / 2
        gradient = centred * half
        gradient.add_(wrong + half * (1 - expected)).mul_(shares).sub_(half / (shares.shape[1] - 1))
        return gradient.scatter_(1, index, -wrong), None

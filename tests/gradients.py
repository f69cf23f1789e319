"""Gradients with respect to logits, as autograd gives them."""

import torch
from torch.nn import functional as F


def logit_gradients(
    logits: torch.Tensor, targets: torch.Tensor, weight: torch.Tensor | None = None, one_vs_all: bool = False
) -> torch.Tensor:
    """Of the summed cross entropy of a softmax, or of one sigmoid per class: ``(N, K)``."""
    leaf = logits.detach().requires_grad_()
    if one_vs_all:
        labels = F.one_hot(targets, logits.shape[1]).to(logits)
        losses = F.binary_cross_entropy_with_logits(leaf, labels, reduction="none").sum(1)
    else:
        losses = F.cross_entropy(leaf, targets, reduction="none")
    weights = torch.ones_like(losses) if weight is None else weight[targets]
    (gradients,) = torch.autograd.grad((weights * losses).sum(), leaf)
    return gradients

"""From one loss per sample to one per batch, the same on one process as on many."""

from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from lt_lightning.functional.precision import at_least_fp32
from lt_lightning.processes import rank_and_world_size

Reduction = Literal["mean", "sum", "none"]

_NO_CLASS = -(2**31)  # torch would silently skip targets of -100, which no other loss does


def reduce(losses: Tensor, weights: Tensor | None, reduction: Reduction) -> Tensor:
    """Weigh and reduce the losses of a batch.

    Args:
        losses: ``(N,)``.
        weights: Weight of each sample, ``(N,)``; ``None`` for equal weights.
        reduction: ``mean`` (weighted where there are weights: Σ w l / Σ w), ``sum`` (Σ w l) or ``none`` (w l).

    Returns:
        A scalar, or ``(N,)`` for ``none``. Means and sums are exact over processes, as :func:`weighted_mean` says.
    """
    weighted = losses if weights is None else weights * losses
    if reduction == "none":
        return weighted
    if reduction == "sum":
        return weighted.sum() * _training_processes()
    return joint_mean(weighted) if weights is None else weighted_mean(weighted, weights)


def joint_mean(losses: Tensor) -> Tensor:
    """Mean of the losses, ``(N,)``; over processes as :func:`weighted_mean`, exact also where their N differ."""
    return losses.mean() if _training_processes() == 1 else weighted_mean(losses, torch.ones_like(losses))


def weighted_mean(weighted: Tensor, weights: Tensor) -> Tensor:
    """Sum of weighted losses over the sum of weights.

    While training on W processes the sum of weights is taken over all of them and the result multiplied by W:
    ``DistributedDataParallel`` averages gradients, and the average of these is the gradient of the weighted mean over
    the joint batch. The value then is this process's share, whose mean over processes is the weighted mean.

    Args:
        weighted: Losses times weights, ``(N,)``.
        weights: ``(N,)``.

    Returns:
        A scalar; 0 if all weights are 0.
    """
    total = weights.sum()
    processes = _training_processes()
    if processes > 1:
        total = total.detach().clone()
        dist.all_reduce(total)
    return weighted.sum() / total.clamp_min(torch.finfo(total.dtype).tiny) * processes


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    weight: Tensor | None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Softmax cross entropy of a batch, in fp32 at least.

    Args:
        logits: ``(N, K)``.
        targets: ``(N,)``, int64.
        weight: Weight of each class, ``(K,)``; ``None`` for equal weights. With label smoothing each class's term has
            that class's weight, while the denominator sums the targets' weights, as in torch.
        label_smoothing: Share of the label that is spread evenly over all classes.
        reduction: As for :func:`reduce`.

    Returns:
        A scalar, or ``(N,)``; under several processes as :func:`reduce` says.

    Raises:
        IndexError: On the CPU, if a target is none of 0 to K - 1; no number stands for "leave this sample out".
    """
    logits = at_least_fp32(logits)
    weight = None if weight is None else weight.to(logits.dtype)
    options: dict[str, Any] = {"weight": weight, "label_smoothing": label_smoothing, "ignore_index": _NO_CLASS}
    if reduction != "mean" or (weight is None and _training_processes() == 1):
        found = F.cross_entropy(logits, targets, reduction=reduction, **options)
        return found * _training_processes() if reduction == "sum" else found
    losses = F.cross_entropy(logits, targets, reduction="none", **options)
    return joint_mean(losses) if weight is None else weighted_mean(losses, weight[targets])


def _training_processes() -> int:
    # Evaluation counts batches that differ in number between processes, so it must not wait for the others.
    return rank_and_world_size()[1] if torch.is_grad_enabled() else 1

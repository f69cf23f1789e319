"""From one loss per sample to one per batch, the same on one process as on many."""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from lt_lightning.functional.precision import at_least_fp32


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


def cross_entropy(logits: Tensor, targets: Tensor, weight: Tensor | None, label_smoothing: float = 0.0) -> Tensor:
    """Softmax cross entropy of a batch, in fp32 at least: the mean, or the weighted mean where weights are given.

    Args:
        logits: ``(N, K)``.
        targets: ``(N,)``, int64.
        weight: Weight of each class, ``(K,)``; ``None`` for equal weights. With label smoothing each class's term has
            that class's weight, while the denominator sums the targets' weights, as in torch.
        label_smoothing: Share of the label that is spread evenly over all classes.

    Returns:
        A scalar; under several processes as :func:`weighted_mean` says.
    """
    logits = at_least_fp32(logits)
    if weight is None:
        return F.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    weight = weight.to(logits.dtype)
    losses = F.cross_entropy(logits, targets, weight, reduction="none", label_smoothing=label_smoothing)
    return weighted_mean(losses, weight[targets])


def _training_processes() -> int:
    # Evaluation counts batches that differ in number between processes, so it must not wait for the others.
    together = torch.is_grad_enabled() and dist.is_available() and dist.is_initialized()
    return dist.get_world_size() if together else 1

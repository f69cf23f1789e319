"""The joint batch of all processes, for losses that compare samples with each other."""

import torch
import torch.distributed as dist
from torch import Tensor

from lt_lightning.functional.gathering import gather_rows
from lt_lightning.processes import in_group


def joint_batch(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Join the batches of all processes, in the order of their ranks, while training.

    The gradient that comes back to this process's logits is multiplied by the number of processes:
    ``DistributedDataParallel`` averages gradients, and the average then is the gradient of the joint batch's loss.
    Batches may differ in size, so the host reads one number per process. Evaluation stays local, as processes then
    differ in their number of batches.

    Args:
        logits: ``(N, K)``, differentiable.
        targets: ``(N,)``, int64.

    Returns:
        Logits and targets of all processes' samples; only this process's logits keep their graph.
    """
    if not (torch.is_grad_enabled() and in_group()):
        return logits, targets
    own = logits.view_as(logits)
    if own.requires_grad:
        own.register_hook(lambda gradient: gradient * dist.get_world_size())  # type: ignore[no-untyped-call]
    all_logits, all_targets = gather_rows(logits, targets)
    all_logits[dist.get_rank()] = own
    return torch.cat(all_logits), torch.cat(all_targets)

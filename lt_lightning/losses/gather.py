"""The joint batch of all processes, for losses that compare samples with each other."""

import torch
import torch.distributed as dist
from torch import Tensor


def joint_batch(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Join the batches of all processes, in the order of their ranks, while training.

    The gradient that comes back to this process's logits is multiplied by the number of processes:
    ``DistributedDataParallel`` averages gradients, and the average then is the gradient of the joint batch's loss.
    Batches may differ in size, for which the host reads one number per process. Evaluation stays local, as processes
    then differ in their number of batches.

    Args:
        logits: ``(N, K)``, differentiable.
        targets: ``(N,)``, int64.

    Returns:
        Logits and targets of the sum of all N; this process's logits keep their history, the others' have none.
    """
    if not (torch.is_grad_enabled() and dist.is_available() and dist.is_initialized()):
        return logits, targets
    processes, rank = dist.get_world_size(), dist.get_rank()
    sizes = [targets.new_empty(1) for _ in range(processes)]
    dist.all_gather(sizes, targets.new_tensor([len(targets)]))
    lengths = torch.cat(sizes).tolist()
    own = logits.view_as(logits)
    if own.requires_grad:
        own.register_hook(lambda gradient: gradient * processes)  # type: ignore[no-untyped-call]
    all_logits, all_targets = _gather(logits.detach(), lengths), _gather(targets, lengths)
    all_logits[rank] = own
    return torch.cat(all_logits), torch.cat(all_targets)


def _gather(rows: Tensor, lengths: list[int]) -> list[Tensor]:
    padded = rows.new_zeros((max(lengths), *rows.shape[1:]))
    padded[: len(rows)] = rows
    everyone = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(everyone, padded)
    return [part[:length] for part, length in zip(everyone, lengths, strict=True)]

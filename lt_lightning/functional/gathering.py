"""Gathering tensors from all processes."""

import torch
import torch.distributed as dist
from torch import Tensor

from lt_lightning.processes import in_group


def gather_rows(*tensors: Tensor) -> list[list[Tensor]]:
    """The rows of all processes, in the order of their ranks; every process must call it.

    Args:
        tensors: ``(N, ...)`` each. N may differ between processes, so the host reads one number per process.

    Returns:
        For each of ``tensors``, those of all processes, without gradients; itself alone where there is one process.
    """
    if not in_group():
        return [[rows] for rows in tensors]
    length = torch.tensor([len(tensors[0])], device=tensors[0].device)
    sizes = [torch.empty_like(length) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, length)
    lengths = torch.cat(sizes).tolist()
    return [_gather(rows.detach(), lengths) for rows in tensors]


def _gather(rows: Tensor, lengths: list[int]) -> list[Tensor]:
    padded = rows.new_zeros((max(lengths), *rows.shape[1:]))
    padded[: len(rows)] = rows
    everyone = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(everyone, padded)
    return [part[:length] for part, length in zip(everyone, lengths, strict=True)]

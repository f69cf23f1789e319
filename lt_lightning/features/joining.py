"""Joining the processes that a launcher has started, and merging what they have extracted."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor

from lt_lightning.devices.choice import gpu_of_process
from lt_lightning.processes import in_group

_PATIENCE = timedelta(days=7)
"""How long processes wait for one of them: it may wait for another job's features, or work for hours on its own."""


def merge_(values: Tensor) -> None:
    """Give every process all values; each is held by one process, and all zero bits in the others.

    Bytes are added, so every bit is kept, whatever the type, of negative zeros too.

    Args:
        values: ``(V, ...)``, contiguous, on the CPU; merged in place, one view at a time.
    """
    if not in_group():
        return
    on_device = torch.device("cuda", gpu_of_process()) if dist.get_backend() == "nccl" else values.device
    for part in values:
        own = part.reshape(-1).view(torch.uint8)
        moved = own.to(on_device)
        dist.all_reduce(moved)
        own.copy_(moved)


@contextmanager
def joined_processes() -> Iterator[None]:
    """Join the processes that ``torchrun`` has started, a device each; a single process does nothing."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or dist.is_initialized():
        yield
        return
    # Times out after half an hour if a process never starts; one that dies later is noticed at once.
    store, rank, number = next(cast(Any, dist).rendezvous("env://"))
    dist.init_process_group("gloo", store=store, rank=rank, world_size=number, timeout=_PATIENCE)
    if torch.cuda.is_available():
        torch.cuda.set_device(gpu_of_process())
    try:
        yield
    finally:
        cast(Any, dist).destroy_process_group()

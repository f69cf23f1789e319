"""What each process of a run has, brought together."""

from typing import TypeVar, cast

import torch

T = TypeVar("T")


def gather(share: T, world_size: int) -> list[T]:
    """The shares of all processes, in their order; every one of them must call it.

    Args:
        share: This process's, of whatever can be pickled; tensors on the CPU.
        world_size: Number of processes; one alone needs no process group.
    """
    if world_size == 1:
        return [share]
    shares: list[T | None] = [None] * world_size
    torch.distributed.all_gather_object(shares, share)
    return cast(list[T], shares)

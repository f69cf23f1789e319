"""What each process of a run has, brought to the first."""

from typing import TypeVar, cast

import torch

T = TypeVar("T")


def gather(share: T, world_size: int) -> list[T]:
    """The shares of all processes, in their order, for the first of them, and none for others; every one must call it.

    Args:
        share: This process's, of whatever can be pickled; tensors on the CPU.
        world_size: Number of processes; one alone needs no process group.
    """
    if world_size == 1:
        return [share]
    shares: list[T | None] = [None] * world_size if torch.distributed.get_rank() == 0 else []
    torch.distributed.gather_object(share, shares or None)
    return cast(list[T], shares)

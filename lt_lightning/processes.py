"""This process among those of a run, and what they do together; one that is alone notices nothing."""

from collections.abc import Callable
from typing import TypeVar, cast

import torch.distributed as dist

from lt_lightning.errors import UsageError

T = TypeVar("T")


def in_group() -> bool:
    """Whether processes have been joined, so that they can exchange anything."""
    return dist.is_available() and dist.is_initialized()


def rank_and_world_size() -> tuple[int, int]:
    """This process's number and how many there are; ``(0, 1)`` before they are joined."""
    return (dist.get_rank(), dist.get_world_size()) if in_group() else (0, 1)


def is_first_of_group() -> bool:
    """Whether this is rank 0 of the process group; True in every process while there is no group."""
    return rank_and_world_size()[0] == 0


def is_first() -> bool:
    """Whether this is the first process; before there is a process group, the launcher's rank says so.

    For processes that a Trainer will join; where nothing will join them, ask :func:`is_first_of_group`.
    """
    if in_group():
        return is_first_of_group()
    from lightning.pytorch.utilities import rank_zero_only  # heavy; losses need only what is above

    return not rank_zero_only.rank  # type: ignore[attr-defined]  # set by Lightning when it is imported


def on_first(work: Callable[[], T]) -> T:
    """Do ``work`` in the first process alone; every process waits for it and gets what it returned.

    Raises:
        UsageError: In all others, if the first one raised anything: none is left waiting.
    """
    if not in_group():
        return work()
    outcome: list[object] = [None, None]
    if dist.get_rank() == 0:
        try:
            outcome[0] = work()
        except Exception as error:
            outcome[1] = str(error)
            dist.broadcast_object_list(outcome, src=0)
            raise
    dist.broadcast_object_list(outcome, src=0)
    if outcome[1] is not None:
        raise UsageError(str(outcome[1]))
    return cast(T, outcome[0])


def to_first(share: T) -> list[T]:
    """In the first process, the shares of all in the order of ranks; in others, none. Every process must call it.

    Args:
        share: This process's, of whatever can be pickled; tensors on the CPU.
    """
    if not in_group():
        return [share]
    shares: list[T | None] = [None] * dist.get_world_size() if dist.get_rank() == 0 else []
    dist.gather_object(share, shares or None)
    return cast(list[T], shares)


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if in_group():
        dist.barrier()

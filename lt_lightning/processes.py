"""This process among those of a run."""

import torch.distributed as dist


def in_group() -> bool:
    """Whether processes have been joined, so that they can exchange anything."""
    return dist.is_available() and dist.is_initialized()


def rank_and_world_size() -> tuple[int, int]:
    """This process's number and how many there are; ``(0, 1)`` before they are joined."""
    return (dist.get_rank(), dist.get_world_size()) if in_group() else (0, 1)


def is_first_of_group() -> bool:
    """Whether this process writes what one of those that are joined may; each that is not joined is on its own."""
    return rank_and_world_size()[0] == 0


def is_first() -> bool:
    """Whether this process writes what one alone may: before they are joined, as whatever has started them says.

    A Trainer joins what a launcher has started; where nobody is to, :func:`is_first_of_group` is to be asked.
    """
    if in_group():
        return is_first_of_group()
    from lightning.pytorch.utilities import rank_zero_only  # heavy, and losses that need the above do without it

    return not rank_zero_only.rank  # type: ignore[attr-defined]  # set by Lightning when it is imported

"""Progress bars."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch.distributed as dist
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(title: str, total: int | None, shown: bool) -> Iterator[Callable[[int], None]]:
    """Show a bar in the first process while something lasts; nothing at all where the output is a file.

    Args:
        title: What is going on.
        total: Steps until the end; ``None`` if unknown.
        shown: Whether a bar is wanted.

    Yields:
        A function that moves the bar on by a number of steps.
    """
    console = Console()
    hidden = not shown or _rank() > 0 or not console.is_terminal
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, disable=hidden, transient=True)
    task = progress.add_task(title, total=total)
    with nullcontext() if hidden else progress:  # entered, a hidden one would leave an empty line
        yield lambda steps: progress.advance(task, steps)


def _rank() -> int:
    """This process's number; before there is a process group, as whatever has started the processes says."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank()
    rank: int = rank_zero_only.rank  # type: ignore[attr-defined]
    return rank

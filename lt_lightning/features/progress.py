"""A progress bar for whoever looks on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lt_lightning.features.processes import rank_and_world_size


@contextmanager
def progress_bar(title: str, total: int | None, shown: bool) -> Iterator[Callable[[int], None]]:
    """Show a bar in the first process while something lasts; nothing at all where the output is a file.

    Args:
        title: What is going on.
        total: Steps until the end; ``None`` where nobody knows.
        shown: Whether a bar is wanted.

    Yields:
        A function that moves the bar on by a number of steps.
    """
    hidden = not shown or rank_and_world_size()[0] > 0 or not Console().is_terminal
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, disable=hidden, transient=True)
    task = progress.add_task(title, total=total)
    with nullcontext() if hidden else progress:  # entered, a hidden one would leave an empty line
        yield lambda steps: progress.advance(task, steps)

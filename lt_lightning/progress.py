"""How far something has come: a bar on a terminal, lines in a file."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lt_lightning.processes import is_first
from lt_lightning.wording import duration

Advance = Callable[[float], None]
"""Moves a bar on by a number of steps, or a part of one."""

_ROUNDING = 1e-6  # parts of a step that add up to one may fall short of it by less


class Pace:
    """How many steps are done, how long others take, and when a line should say so.

    Args:
        seconds: Least time between two lines, and before the first.
    """

    def __init__(self, seconds: float = 30.0) -> None:
        self.seconds = seconds
        self.done = 0.0
        self._started = self._said = self._now = time.perf_counter()

    def advance(self, steps: float) -> bool:
        """Count steps, or a part of one; true if a line is due, which is then taken to be said."""
        self.done += steps
        self._now = time.perf_counter()
        due = self._now - self._said >= self.seconds
        if due:
            self._said = self._now
        return due

    def seconds_of(self, steps: float) -> float:
        """Seconds that some steps take if they are as fast as those that are done."""
        return (self._now - self._started) / self.done * steps


@contextmanager
def progress_bar(title: str, total: int | None, shown: bool) -> Iterator[Advance]:
    """Show in the first process how far something has come while it lasts.

    A terminal has a bar. Rich writes nothing of it into a file, so that a file has a line with the time that is left,
    at most two a minute, and none if all is over before.

    Args:
        title: What is going on.
        total: Steps until the end; ``None`` if unknown.
        shown: Whether any of it is wanted.

    Yields:
        What moves it on.
    """
    console = Console()
    if not shown or not is_first():
        yield lambda _: None
    elif console.is_terminal:
        columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            yield _bar(progress, title, total)
    else:
        yield _lines(title, total)


def _bar(progress: Progress, title: str, total: int | None) -> Advance:
    task, pace = progress.add_task(title, total=total), Pace()

    def advance(steps: float) -> None:
        pace.advance(steps)
        progress.update(task, completed=pace.done + _ROUNDING)  # of which rich shows the whole part

    return advance


def _lines(title: str, total: int | None) -> Advance:
    pace = Pace()

    def advance(steps: float) -> None:
        if not pace.advance(steps):
            return
        done = f"{title}: {int(pace.done + _ROUNDING):,}"
        if total is None:
            print(done, flush=True)
        elif pace.done + _ROUNDING < total:
            print(f"{done} of {total:,}, about {duration(pace.seconds_of(total - pace.done))} left", flush=True)

    return advance

"""What scripts that measure share: processes, memory that stays, candidates in turns, figures of several rounds."""

import os
import subprocess
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from statistics import quantiles
from typing import TypeVar

import lt_lightning

Name = TypeVar("Name", bound=Hashable)
Found = TypeVar("Found")
Timed = dict[str, float]
"""Seconds by what they were spent on, or a figure's median and quartiles."""

PINNED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "2147483647"}
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
"""Options of a trainer that is to leave nothing behind."""


def run_python(
    arguments: Sequence[str], folder: str | Path | None = None, **more: str
) -> "subprocess.CompletedProcess[str]":
    """Run Python as a process of its own, which finds this package and these scripts, to its end.

    Args:
        arguments: Of Python.
        folder: Where it runs; ``None`` is where this process does.
        more: Of the environment, to be set with it.

    Returns:
        Its status, and what it said.
    """
    places = [str(Path(lt_lightning.__file__).parents[1]), str(Path(__file__).resolve().parent)]
    places += filter(None, [os.environ.get("PYTHONPATH")])  # an empty place would be the current folder
    own = {**os.environ, "PYTHONPATH": os.pathsep.join(places), **more}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=own, capture_output=True, text=True, check=False
    )


def pinned(**more: str) -> None:
    """Start this script again with glibc's allocator told to keep its memory, which it asks for as a process starts.

    It otherwise returns large tensors to the system after each step, and page faults make the same code up to five
    times slower.

    Args:
        more: Of the environment, to be set with it.
    """
    wanted = PINNED | more
    if not wanted.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})


def in_turns(candidates: Mapping[Name, Callable[[], Found]], rounds: int, warm: int = 0) -> dict[Name, list[Found]]:
    """What each candidate gives in each round: whatever else slows the machine down for a while slows all of them.

    Args:
        candidates: By name; each runs once a round.
        rounds: How many.
        warm: Rounds before those, which do not count.
    """
    found: dict[Name, list[Found]] = {name: [] for name in candidates}
    for turn in range(-warm, rounds):
        for name, candidate in candidates.items():
            value = candidate()
            if turn >= 0:
                found[name].append(value)
    return found


def spread(values: list[float]) -> Timed:
    """Median and quartiles, which are those of what was found: the rounds are no sample of others."""
    low, middle, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": middle, "quartile_1": low, "quartile_3": high}

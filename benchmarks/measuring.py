"""What scripts that measure share: memory that stays, candidates in turns, figures of several rounds."""

import os
import sys
from collections.abc import Callable, Hashable, Mapping
from statistics import quantiles
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)
Found = TypeVar("Found")
Timed = dict[str, float]
"""Seconds by what they were spent on, or a figure's median and quartiles."""

PINNED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "2147483647"}


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

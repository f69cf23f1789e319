"""Splitting what is too much for memory at once into portions."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def portions(entries: Iterable[T], nbytes: Callable[[T], int], most: int) -> Iterator[list[T]]:
    """Entries in their order, each time as many as take no more than ``most`` bytes, one at least.

    Args:
        entries: Read one ahead of what is yielded.
        nbytes: Size of one.
        most: Largest size of a portion.
    """
    found: list[T] = []
    size = 0
    for entry in entries:
        own = nbytes(entry)
        if found and size + own > most:
            yield found
            found, size = [], 0
        found.append(entry)
        size += own
    if found:
        yield found

"""The one exception that the command line shows as a sentence instead of a traceback, and checks of numbers."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite


class UsageError(ValueError):
    """What was asked for cannot be done.

    The message is one sentence that names the argument, key or file, the value found, and what to do about it.
    """


def check_at_least_0(**values: float | None) -> None:
    """Refuse numbers below 0, by the names of the arguments they were given as; ``None`` is none.

    Raises:
        UsageError: If one is negative, infinite or no number.
    """
    for name, value in _finite(values):
        if value < 0:
            raise UsageError(f"`{name}` must be at least 0, but got {value}.")


def check_above_0(**values: float | None) -> None:
    """Refuse 0 and numbers below it, by the names of the arguments they were given as; ``None`` is none.

    Raises:
        UsageError: If one is 0, negative, infinite or no number.
    """
    for name, value in _finite(values):
        if value <= 0:
            raise UsageError(f"`{name}` must be above 0, but got {value}.")


def check_thresholds(name: str, thresholds: Sequence[int]) -> None:
    """Refuse thresholds of the groups of classes, by the name of their argument, that are no rising pair.

    Raises:
        UsageError: If they are not two numbers, ``0 <= low <= high``.
    """
    if len(thresholds) != 2 or not 0 <= thresholds[0] <= thresholds[1]:
        raise UsageError(f"`{name}` must be (low, high) with 0 <= low <= high, but got {tuple(thresholds)}.")


def _finite(values: Mapping[str, float | None]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if value is not None:
            if not isfinite(value):
                raise UsageError(f"`{name}` must be a finite number, but got {value}.")
            yield name, value

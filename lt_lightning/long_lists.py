"""Lists as long as the number of classes, in a configuration or on the command line.

Before it looks at an element of a list, jsonargparse copies all that it knows of the list, every element included. For
the 8,142 names of iNaturalist 2018 that would take minutes.
"""

from contextlib import suppress
from copy import deepcopy
from typing import Any


def allow_long_lists() -> None:
    """Have jsonargparse parse and write a list in a time in proportion to its length, whosever option it is."""
    with suppress(ImportError):  # no part of its interface: a version without it is as slow as it is
        from jsonargparse import _typehints

        _typehints.deepcopy = _copied  # type: ignore[assignment, attr-defined]


def _copied(given: Any) -> Any:
    """A copy; of what goes along with a list to each of its elements, only of the parts that an element may change."""
    if not isinstance(given, dict) or "sub_add_kwargs" not in given:
        return deepcopy(given)
    before = given.get("prev_val")
    if not isinstance(before, list) or not all(isinstance(entry, str | int | float) for entry in before[:1]):
        before = deepcopy(before)  # a class, of whose arguments the next one takes over what it has, too
    return {**given, "sub_add_kwargs": deepcopy(given["sub_add_kwargs"]), "prev_val": before}

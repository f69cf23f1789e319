"""What data say of their classes before any image is read, asked before it is relied on."""

from collections.abc import Sequence
from typing import Any

from lt_lightning.errors import UsageError, check_begun


def check_announced(data: Any) -> None:
    """Refuse data of one's own that do not say how many training images each class has, and what it is called.

    A class may have none: ``inspect`` shows it, and training refuses it.

    Args:
        data: The data module.

    Raises:
        UsageError: If it has left its base class's ``__init__`` out, its ``class_counts`` or ``class_names`` are no
            list or tuple or there are none, or there is not one name for each class.
    """
    check_begun("data", data, "group_thresholds", "(**options)")
    counts, names = (_listed(data, name) for name in ("class_counts", "class_names"))
    if not counts:
        raise UsageError(
            f"`class_counts` of `{type(data).__name__}` must hold a count for each class, but is {counts!r}."
        )
    if len(names) != len(counts):
        raise UsageError(
            f"`class_names` of `{type(data).__name__}` must hold one name for each class, but has {len(names)} for "
            f"{len(counts)} `class_counts`."
        )


def _listed(data: Any, name: str) -> Sequence[Any]:
    found = getattr(data, name)
    if isinstance(found, list | tuple):
        return found
    if callable(found):
        raise UsageError(f"`{name}` of `{type(data).__name__}` is a method; put `@property` before it.")
    end = "; end it with `.tolist()`" if hasattr(found, "tolist") else ""
    raise UsageError(f"`{name}` of `{type(data).__name__}` must be a list, but is a {type(found).__name__}{end}.")

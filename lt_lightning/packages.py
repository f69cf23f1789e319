"""Which package code is from: what comes with this one keeps its contract, of one's own nobody knows what it does."""

from importlib import import_module
from typing import Any


def comes_from(code: object, *packages: str) -> bool:
    """Whether a class or function is from one of these packages.

    Args:
        code: It; what does not say where it is from is from none of them.
        packages: Their names, without what follows a dot.
    """
    return (getattr(code, "__module__", None) or "").partition(".")[0] in packages


def is_ours(kind: type) -> bool:
    """Whether a class comes with this package, and so keeps the contract."""
    return comes_from(kind, "lt_lightning")


def imported(class_path: str) -> Any:
    """What a path leads to; ``None`` where that is nothing."""
    module, _, name = class_path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return None

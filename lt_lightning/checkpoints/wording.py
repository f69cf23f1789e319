"""Names of tensors in sentences."""

from collections.abc import Sequence


def some(keys: Sequence[str], most: int = 4) -> str:
    """The first few of some names, quoted, and how many more there are."""
    shown = ", ".join(repr(key) for key in keys[:most])
    return shown + (f" and {len(keys) - most} more" if len(keys) > most else "")

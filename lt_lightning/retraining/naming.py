"""Whose code it was that failed, where many methods run one after another."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lt_lightning.errors import UsageError


@contextmanager
def naming(method: str) -> Iterator[None]:
    """Add to an error in a user's own part which method the part belongs to; its traceback stays as it is.

    Args:
        method: Its name; nothing is added for an empty one, nor to the sentence of a :class:`UsageError`.
    """
    try:
        yield
    except Exception as error:
        if method and not isinstance(error, UsageError):
            note = f"This happened in method {method!r}."
            if sys.version_info >= (3, 11):
                error.add_note(note)
            else:
                print(note, file=sys.stderr)
        raise

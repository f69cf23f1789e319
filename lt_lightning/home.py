"""``~`` for the home folder where no shell has put it in: after ``=``, in configuration files, and in Python.

Standard library only. Without it a folder called ``~`` would appear in the current one.
"""

import os


def expanded(value: str) -> str:
    """A value with the home folder in the place of a ``~``, or the ``~user`` of somebody known, that it begins with."""
    return os.path.expanduser(value)  # noqa: PTH111  # a Path would change what is no path


def expanded_option(word: str) -> str:
    """A word of a command line, ``--output=~/runs`` as well as ``~/runs``, with the home folder in it."""
    name, equals, value = word.partition("=")
    return f"{name}={expanded(value)}" if equals and name.startswith("-") else expanded(word)

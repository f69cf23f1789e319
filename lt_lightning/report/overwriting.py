"""``--overwrite true``, as the other commands have it, and ``--overwrite`` alone wherever it stands."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

_WORDS = ("true", "false")


def add_overwrite(parser: ArgumentParser, what: str) -> None:
    """Add the option; its value is text.

    Args:
        parser: Of a command that writes files.
        what: What its help says.
    """
    parser.add_argument("--overwrite", type=str.lower, choices=_WORDS, default="false", help=what)


def with_values(words: Sequence[str]) -> list[str]:
    """A command line whose ``--overwrite`` without a value is true, not the folder behind it."""
    following = [*words[1:], ""]
    return [
        f"{word}=true" if word == "--overwrite" and after.lower() not in _WORDS else word
        for word, after in zip(words, following, strict=True)
    ]


def what_remains(written: Sequence[Path]) -> str:
    """What an interruption leaves and what to do, the second half of a sentence.

    Args:
        written: Files that were finished before it.
    """
    if not written:
        return "nothing has been written; run the same command again."
    return f"{', '.join(map(str, written))} had been written; run the command again with `--overwrite true`."

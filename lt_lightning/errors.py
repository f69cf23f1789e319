"""The one exception that the command line shows as a sentence instead of a traceback, and checks of arguments."""

import errno
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite
from traceback import walk_tb
from typing import Any, get_args

from lt_lightning.wording import filling, numbers


class UsageError(ValueError):
    """What was asked for cannot be done.

    The message is one sentence that names the argument, key or file, the value found, and what to do about it.
    """


_NETWORK = "look after the network's file system"

_REMEDIES = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there, or ask for more",
    errno.EFBIG: "allow larger files, as by `ulimit -f`",
    errno.EROFS: "choose a place that can be written to",
    errno.EACCES: "choose another place, or change its rights",
    errno.EPERM: "choose another place, or change its rights",
    errno.EMFILE: "allow more open files, as by `ulimit -n`, or take fewer `data.num_workers`",
    errno.ENFILE: "close what else runs on this machine",
    errno.EAGAIN: "allow more processes, as by `ulimit -u`, or take fewer `data.num_workers`",
    errno.ENOMEM: "ask for more memory, or take fewer `data.num_workers`",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "look after the disk",
    errno.ESTALE: _NETWORK,
    errno.EPIPE: "what read the output has ended, and the command with it",
}
"""What to do about errors that are the machine's and not a program's, by their numbers."""

_REMEDIES_OF_FILES = dict.fromkeys((errno.ESHUTDOWN, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN), _NETWORK)
"""The same of errors that name a file; without one they are those of a connection."""

_CLASS = re.compile(r"Problem with given class_path '(?:\w+\.)*(\w+)'")
"""How jsonargparse begins on what a class raised."""


def refusal(error: OSError) -> str | None:
    """What the system has refused, and what to do about it, without a full stop.

    Returns:
        The sentence; ``None`` if the error may be a mistake in code, which a traceback shows better.
    """
    named = error.filename is not None
    remedies = _REMEDIES | _REMEDIES_OF_FILES if named else _REMEDIES
    if error.errno not in remedies or (error.errno == errno.EAGAIN and not _started_something(error)):
        return None
    where = f": {str(error.filename)!r}" if named else ""
    return f"{error.strerror}{where}; {remedies[error.errno]}"


def _started_something(error: OSError) -> bool:
    """Whether an error came as a process or thread was to be started.

    A lock that is taken, or an output that would have to wait, has the same number.
    """
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return bool(frames) and frames[-1].f_globals.get("__name__", "").partition(".")[0] in _STARTERS


_STARTERS = ("multiprocessing", "subprocess", "threading")


@contextmanager
def refusing_abstract_classes() -> Iterator[None]:
    """Say in a sentence that a class which is to be made lacks methods; a factory alone does not tell before.

    Raises:
        UsageError: In place of Python's ``TypeError``; any other is left as it is.
    """
    try:
        yield
    except TypeError as error:
        if "Can't instantiate abstract class" not in str(error):
            raise
        raise UsageError(f"{error}: a base class, or one of your own that lacks this method.") from error


def check_begun(name: str, part: object, sign: str, takes: str = "()") -> None:
    """Refuse a part of one's own that has left its base class's ``__init__`` out.

    Args:
        name: Of the argument that it is.
        part: As made.
        sign: An attribute that it then lacks.
        takes: Arguments of that ``__init__``, in brackets.

    Raises:
        UsageError: If it lacks the attribute.
    """
    if not hasattr(part, sign):
        raise _not_begun(f"`{name}` {type(part).__name__}", takes)


@contextmanager
def refusing_unbegun_modules(name: str, takes: str = "()") -> Iterator[None]:
    """Say in a sentence that a network which is to be made gets its layers before its base class's ``__init__``.

    Args:
        name: Of the argument that it is.
        takes: Arguments of that ``__init__``, in brackets.

    Raises:
        UsageError: In place of torch's error; any other is left as it is.
    """
    try:
        yield
    except (AttributeError, ValueError) as error:  # the latter where jsonargparse makes it
        if "before Module.__init__() call" not in str(error):
            raise
        where = _CLASS.findall(str(error))
        raise _not_begun(f"{where[-1] if where else f'`{name}`'}, or a module in it,", takes) from error


def check_is_finite(**values: float | None) -> None:
    """Refuse infinities and NaN, by the names of the arguments they were given as; ``None`` passes.

    Raises:
        UsageError: If one is infinite or no number.
    """
    for _ in _finite(values):
        pass


def check_at_least_0(**values: float | None) -> None:
    """Refuse numbers below 0, by the names of the arguments they were given as; ``None`` passes.

    Raises:
        UsageError: If one is negative, infinite or no number.
    """
    for name, value in _finite(values):
        if value < 0:
            raise UsageError(f"`{name}` must be at least 0, but got {value}.")


def check_above_0(**values: float | None) -> None:
    """Refuse 0 and numbers below it, by the names of the arguments they were given as; ``None`` passes.

    Raises:
        UsageError: If one is 0, negative, infinite or no number.
    """
    for name, value in _finite(values):
        if value <= 0:
            raise UsageError(f"`{name}` must be above 0, but got {value}.")


def check_at_least_1(**values: int | None) -> None:
    """Refuse numbers below 1, by the names of the arguments they were given as; ``None`` passes.

    Raises:
        UsageError: If one is 0 or negative.
    """
    for name, value in values.items():
        if value is not None and value < 1:
            raise UsageError(f"`{name}` must be at least 1, but got {value}.")


def check_share(**values: float) -> None:
    """Refuse numbers that are no share of a whole, by the names of the arguments they were given as.

    Raises:
        UsageError: If one does not lie in [0, 1].
    """
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise UsageError(f"`{name}` must lie in [0, 1], but got {value}.")


def check_word(name: str, word: object, words: Any) -> None:
    """Refuse a word that a type does not list, by the name of its argument; only the command line looks at types.

    Args:
        name: Of the argument.
        word: As given.
        words: A ``Literal`` of those that there are.

    Raises:
        UsageError: If it is another.
    """
    known = get_args(words)
    if not isinstance(word, str) or word not in known:
        raise UsageError(f"`{name}` must be one of {', '.join(known)}, but got {word!r}.")


def check_makes(name: str, factory: object, kind: type) -> None:
    """Refuse a part that is made already where what makes one is wanted, by the name of its argument.

    Args:
        name: Of the argument.
        factory: As given.
        kind: Base class of such parts.

    Raises:
        UsageError: If it is one of them.
    """
    if isinstance(factory, kind):
        raise UsageError(
            f"`{name}` must be what makes one, such as the class `{type(factory).__name__}` or a functools.partial of "
            f"it, but got one that is made already."
        )


def check_thresholds(name: str, thresholds: Sequence[int]) -> None:
    """Refuse thresholds of the groups of classes, by the name of their argument, that are no rising pair.

    Raises:
        UsageError: If they are not two numbers, ``0 <= low <= high``.
    """
    try:
        low, high = thresholds
        rising = 0 <= low <= high
    except (TypeError, ValueError):  # no pair, or not of numbers
        rising = False
    if not rising:
        raise UsageError(f"`{name}` must be (low, high) with 0 <= low <= high, but got {thresholds!r}.")


def checked_counts(class_counts: Sequence[int], least: int = 1) -> list[int]:
    """Training images per class as a list, also of a tensor or an array.

    Raises:
        UsageError: If they are something else, such as a dict, whose keys would be taken for counts; if there is none;
            or if one is no whole number or below ``least``.
    """
    listed = class_counts.tolist() if hasattr(class_counts, "tolist") else class_counts
    if isinstance(listed, Mapping | str) or not isinstance(listed, Iterable):
        raise UsageError(
            f"`class_counts` must be a list of training images per class, in the order of the logits, but got a "
            f"{type(class_counts).__name__}."
        )
    listed = list(listed)
    broken = [place for place, count in enumerate(listed) if not _is_whole(count)]
    if broken:
        found = numbers(listed, broken)
        raise UsageError(f"`class_counts` must hold one whole number for each class, but got {found}.")
    counts = [int(count) for count in listed]
    if not counts or min(counts) < least:
        found = numbers(counts, [place for place, count in enumerate(counts) if count < least])
        empty = [place for place, count in enumerate(counts) if count == 0 < least]
        remedy = f"; {filling(empty)}" if empty else ""
        raise UsageError(f"`class_counts` must hold at least {least} for each class, but got {found}{remedy}.")
    return counts


def _not_begun(which: str, takes: str) -> UsageError:
    return UsageError(f"{which} must begin its `__init__` with `super().__init__{takes}`, that of its base class.")


def _is_whole(count: Any) -> bool:
    try:
        return bool(int(count) == count)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # no number, or an infinite one; torch's own
        return False


def _finite(values: Mapping[str, float | None]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if value is not None:
            if not isfinite(value):
                raise UsageError(f"`{name}` must be a finite number, but got {value}.")
            yield name, value

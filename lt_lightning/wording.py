"""Lists, sizes and times in the words of a sentence; classes and their settings by name."""

import inspect
import math
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches


def first_few(words: Sequence[str], most: int = 5) -> str:
    """The first words of a list, and how many more there are: ``a, b and 3 more``."""
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def some(keys: Sequence[str], most: int = 4) -> str:
    """The same, each of them quoted."""
    return first_few([repr(key) for key in keys], most)


def numbers(values: Sequence[object], wrong: Sequence[int], most: int = 10) -> str:
    """A list with one entry for each class: ``[3, 0]``, or of a long one those that are wrong, with their places."""
    if len(values) <= most:
        return f"[{', '.join(map(reprlib.repr, values))}]"
    named = first_few([f"{reprlib.repr(values[place])} for class {place}" for place in wrong])
    return f"{len(values)} numbers" + (f", among them {named}" if named else "")


def filling(empty: Sequence[int]) -> str:
    """What to do about classes without training images, as the end of a sentence.

    Args:
        empty: Their numbers; 0 alone mostly means that labels start at 1.
    """
    if list(empty) == [0]:
        return "give class 0 a training image or, if your labels start at 1, number them from 0"
    if len(empty) == 1:
        return f"give class {empty[0]} a training image, or leave it out of the classes and number the others anew"
    which = first_few(list(map(str, empty)))
    return f"give classes {which} a training image each, or leave them out and number the others anew"


def did_you_mean(word: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """The names, three at most, that a misspelt one is close to: ``did you mean lort or lws?``.

    Args:
        word: As given.
        names: That there are.
        cutoff: How alike they must be, from 0, which all are, to 1.

    Returns:
        The question; empty if no name is close.
    """
    close = get_close_matches(word, list(names), cutoff=cutoff)
    return f"did you mean {' or '.join(close)}?" if close else ""


def one_line(error: object, most: int | None = None) -> str:
    """An error or a message of several lines as one.

    Args:
        error: It, or its text.
        most: Letters after which it is cut; ``None`` keeps all.
    """
    return " ".join(str(error).split())[:most]


def class_path(part: object) -> str:
    """Where the class of a part is imported from: ``lt_lightning.heads.LinearHead``."""
    return f"{type(part).__module__}.{type(part).__qualname__}"


def plain_settings(part: object) -> dict[str, bool | int | float | str]:
    """Numbers and text among the arguments that a part's class takes, as far as it keeps them by their names."""
    kept = {name: getattr(part, name, None) for name in inspect.signature(type(part)).parameters}
    return {name: value for name, value in kept.items() if isinstance(value, bool | int | float | str)}


def settings_of(part: object) -> str:
    """The same as text: ``tau=1.0, seed=0``."""
    return ", ".join(f"{name}={value!r}" for name, value in plain_settings(part).items())


def kind(given: object) -> str:
    """What was given where something else is wanted: ``a dictionary with 'image', 'label'``, ``a list of int, int``."""
    if given is None:
        return "nothing"
    if isinstance(given, Mapping):
        return f"a dictionary with {some(list(map(str, given)), most=5) or 'nothing in it'}"
    if isinstance(given, tuple | list):
        return f"a {type(given).__name__} of {first_few(list(map(_type_and_shape, given)), most=3) or 'nothing'}"
    return f"a {type(given).__name__}"


def _type_and_shape(part: object) -> str:
    shape = getattr(part, "shape", None)
    return type(part).__name__ if shape is None else f"{type(part).__name__} {tuple(shape)}"


def human(nbytes: float) -> str:
    """A size in words: ``3.1 GB``."""
    power = min(int(math.log(max(nbytes, 1), 1000)), 4)
    return f"{nbytes / 1000**power:.{0 if power == 0 else 1}f} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"


def duration(seconds: float) -> str:
    """A time in words: ``3.2 hours``."""
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{max(1, round(seconds))} s"

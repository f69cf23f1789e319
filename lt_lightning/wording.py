"""Lists, sizes and times in the words of a sentence; classes and their settings by name."""

import inspect
import math
import reprlib
from collections.abc import Sequence


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


def class_path(part: object) -> str:
    """Where the class of a part is imported from: ``lt_lightning.heads.LinearHead``."""
    return f"{type(part).__module__}.{type(part).__qualname__}"


def is_ours(kind: type) -> bool:
    """Whether a class comes with this package, and so keeps the contract."""
    return kind.__module__.partition(".")[0] == "lt_lightning"


def plain_settings(part: object) -> dict[str, bool | int | float | str]:
    """Numbers and text among the arguments that a part's class takes, as far as it keeps them by their names."""
    kept = {name: getattr(part, name, None) for name in inspect.signature(type(part)).parameters}
    return {name: value for name, value in kept.items() if isinstance(value, bool | int | float | str)}


def settings_of(part: object) -> str:
    """The same as text: ``tau=1.0, seed=0``."""
    return ", ".join(f"{name}={value!r}" for name, value in plain_settings(part).items())


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

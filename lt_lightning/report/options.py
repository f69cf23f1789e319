"""Options of a run by name, and those in which runs differ. Standard library only."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

_MOST = 3
_LONGEST = 60
"""Options, and letters of all of them, that a name has room for."""


def flat(config: Any, start: str = "") -> dict[str, str]:
    """Every option of a configuration, as text, by the name that it is typed by; a class in front of its arguments.

    Args:
        config: Plain values.
        start: What stands in front of the names.
    """
    if _is_part(config):
        return {start: _class(config), **_below(config.get("init_args") or {}, start)}
    if isinstance(config, Mapping) and config:
        return _below(config, start)
    if isinstance(config, list) and config and all(map(_is_part, config)):
        classes = [_class(part) for part in config]
        arguments = {}
        for place, part in enumerate(config):
            before = classes[:place].count(classes[place])
            arguments[classes[place] + (str(before + 1) if before else "")] = part.get("init_args") or {}
        return {start: " + ".join(classes), **_below({name: held for name, held in arguments.items() if held}, start)}
    return {start: config if isinstance(config, str) else json.dumps(config, default=str)}


def _is_part(config: Any) -> bool:
    return isinstance(config, Mapping) and "class_path" in config


def _class(part: Mapping[str, Any]) -> str:
    return str(part["class_path"]).rpartition(".")[2]


def _below(config: Mapping[str, Any], start: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in config.items():
        found |= flat(value, f"{start}.{name}" if start else str(name))
    return found


def differing(runs: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Of the options of each of several runs those in which they differ.

    An option that only some have is one of a class that the others have not; then the class tells them apart.

    Args:
        runs: Of each its options, as :func:`flat` gives them.
    """
    names: list[str] = []
    for name in dict.fromkeys(name for options in runs for name in options):
        values = [options[name] for options in runs if name in options]
        is_of_a_class = any(name.startswith(f"{above}.") for above in names)
        if len(set(values)) > 1 or (len(values) < len(runs) and not is_of_a_class):
            names.append(name)
    return [{name: options[name] for name in names if name in options} for options in runs]


def in_a_name(options: Mapping[str, str]) -> str | None:
    """A few options in the words of a name, such as ``lr 0.1 and momentum 0.9``; ``None`` where they are too many.

    No comma is in it: by commas names are told apart.
    """
    # Of a pipeline every row has the options of all stages: a short one would seem to be the row's own.
    last = [name if name.startswith(("stage1.", "stage2.")) else name.rpartition(".")[2] for name in options]
    called = [short if last.count(short) == 1 else name for name, short in zip(options, last, strict=True)]
    words = " and ".join(f"{name} {value}" for name, value in zip(called, options.values(), strict=True))
    return words if 0 < len(options) <= _MOST and len(words) <= _LONGEST and "," not in words else None


def as_typed(options: Mapping[str, str]) -> str:
    """All of them by their whole names: ``model.optimizer.lr=0.1 model.optimizer.momentum=0.9``."""
    return " ".join(f"{name}={value}" for name, value in options.items())

"""Which settings of a method are tried."""

import math
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any

from lt_lightning.comparing.methods import Method
from lt_lightning.comparing.settings import Plain, SettingsParser
from lt_lightning.errors import UsageError
from lt_lightning.wording import did_you_mean, first_few

Grid = dict[str, list[Any]]

LR_FACTORS = (1.0, 0.003, 0.01, 0.03, 0.1, 0.3, 3.0, 10.0)
"""Of the default grid, times a method's own learning rate, which comes first and so wins a tie.

More of them are smaller: on a ResNet-32 of LDAM's recipe LORT, LTWB, MiSLAS and cosine heads are best at 10 to 300
times less (docs/compare.md).
"""

_THRESHOLDS = (0.1, 0.4)
"""Of the default grid, for ``MaxNormHead`` where it measures its radius: the published code's, and a wider bound.

On a ResNet-32 of LORT's recipe the wider one is a point better without class-balanced training (docs/compare.md).
"""

_TAUS = (1.0, 0.25, 0.5, 0.75, 1.25, 1.5, 1.75, 2.0)
_TRAINING_FREE: tuple[Grid, ...] = ({"tau": list(_TAUS)}, {"metric": ["cosine", "euclidean"], "centre": [False, True]})
"""Of the default grid, for heads of this package that are not trained and have these arguments; a method's own values
come first, among them or not. There are as many points as learning rates, or all that there can be."""

_OF_OPTIMIZER = ("lr", "weight_decay", "momentum")
_USUAL_NAMES = {"learning_rate": "lr", "wd": "weight_decay"}
"""What others call a key, by which no misspelling would lead to it."""

_NO_KEYS = ("weight", "reduction")  # of a loss: values that no grid of numbers can give


@dataclass(frozen=True)
class Point:
    """One setting of a method.

    Attributes:
        method: With the settings of this point.
        values: What differs from the method's own settings, by key.
    """

    method: Method
    values: dict[str, Any]


def read_grid(given: Mapping[str, Any]) -> Grid:
    """A grid from ``{key: values}`` where values are a list, or a text with commas; nested keys become dotted.

    Raises:
        UsageError: If a key has no value, or one twice.
    """
    grid: Grid = {}
    for key, values in _flat(given, ""):
        listed = values.split(",") if isinstance(values, str) else values
        listed = list(listed) if isinstance(listed, Sequence) and not isinstance(listed, str) else [listed]
        grid[key] = [_value(value) for value in listed if value != ""]
        if not grid[key]:
            raise UsageError(f"`grid.{key}` has no value; give some, such as 0.1,1.")
        if any(value in grid[key][:place] for place, value in enumerate(grid[key])):
            raise UsageError(f"`grid.{key}` has a value twice: {', '.join(map(str, grid[key]))}.")
    return grid


def points(methods: Sequence[Method], grid: Grid, parser: SettingsParser, default: bool) -> dict[str, list[Point]]:
    """All points of each method.

    Args:
        methods: The methods.
        grid: A user's grid; each method takes the keys that it has.
        parser: Checks the settings.
        default: Whether methods get the default grid where ``grid`` is empty; otherwise they run once.

    Raises:
        UsageError: If a key is no method's, stands for both a loss's and a head's argument, or for that of another key.
    """
    own = {method.name: _keys(parser.arguments(method.plain, method.name), method.trains) for method in methods}
    _check_keys(grid, own)
    found = {}
    for method in methods:
        keys = own[method.name]
        chosen = {key: values for key, values in grid.items() if key in keys}
        if not grid and default:
            chosen = _default(method, keys, parser)
        found[method.name] = [_point(method, values, keys) for values in _product(chosen)]
    return found


def same_setting(one: str, other: str) -> bool:
    """Whether two keys of a method lead to the same argument, as either may leave the part's name out."""
    return one in (other, other.rpartition(".")[2]) or other == one.rpartition(".")[2]


def default_grid() -> dict[str, dict[str, list[Any]]]:
    """What the default grid is, for a record: ``lr`` in times a method's own; each method takes what it has of it.

    Where nothing trains a method's own values are tried as well.
    """
    found: Grid = {"lr": list(LR_FACTORS), "threshold": list(_THRESHOLDS)}
    for grid in _TRAINING_FREE:
        found |= deepcopy(grid)
    return {"default": found}


def _default(method: Method, keys: Mapping[str, tuple[str, str]], parser: SettingsParser) -> Grid:
    arguments = parser.arguments(method.plain, method.name)
    own_head = "head" in parser.from_elsewhere(method.plain, method.name)
    if "optimizer.lr" in keys:
        rate = arguments["optimizer"]["lr"]
        key = "lr" if "lr" in keys else "optimizer.lr"  # a loss or head of one's own may have one too
        found: Grid = {key: [rate if factor == 1 else float(f"{rate * factor:.6g}") for factor in LR_FACTORS]}
        if own_head or arguments["head"].get("radius", 0.0) is not None:
            return found
        width = "threshold" if "threshold" in keys else "head.threshold"  # a loss of one's own may have one too
        return found | {width: _first(arguments["head"]["threshold"], list(_THRESHOLDS))}
    if method.trains or own_head:
        return {}  # what a head of one's own calls `tau` may be anything
    grid = next((grid for grid in _TRAINING_FREE if set(grid) <= set(keys)), {})
    return {key: _first(arguments["head"][key], values) for key, values in grid.items()}


def _first(own: Any, values: list[Any]) -> list[Any]:
    """The values, a method's own before all others, so that it wins ties."""
    return [own, *(value for value in values if value != own)]


def _keys(arguments: Mapping[str, Plain], trains: bool) -> dict[str, tuple[str, str]]:
    """Where each key of a method leads: part and argument. What loss and head both have needs the part's name."""
    found: dict[str, tuple[str, str]] = {}
    for part, names in arguments.items():
        if part == "head" or trains:
            for name in names:
                if (name in _OF_OPTIMIZER) if part == "optimizer" else (name not in _NO_KEYS):
                    found[f"{part}.{name}"] = (part, name)
    for (part, name), key in [(place, key) for key, place in found.items()]:
        others = [other for other in ("optimizer", "loss", "head") if other != part and f"{other}.{name}" in found]
        if not others:
            found[name] = found[key]
    return found


def _check_keys(grid: Grid, own: Mapping[str, Mapping[str, tuple[str, str]]]) -> None:
    known = sorted({key for keys in own.values() for key in keys})
    for key in grid:
        if key in known:
            continue
        if f"loss.{key}" in known and f"head.{key}" in known:
            raise UsageError(
                f"`grid.{key}` may be the loss's or the head's; say `grid.loss.{key}` or `grid.head.{key}`."
            )
        short = [name for name in known if "." not in name]
        meant = _USUAL_NAMES.get(key, key)
        close = did_you_mean(meant, [meant] if meant in known else known, cutoff=0.4)
        hint = close or f"there are {', '.join(short)}."
        raise UsageError(f"`grid.{key}` is not a setting of {_either(list(own))}; {hint}")
    for one, other in combinations(grid, 2):
        whose = [name for name, keys in own.items() if one in keys and other in keys]
        if whose and same_setting(one, other):
            raise UsageError(
                f"`grid.{one}` and `grid.{other}` are the same setting of `{whose[0]}`; leave one of them out."
            )


def _either(methods: Sequence[str]) -> str:
    """What has a setting or not, in words: a method, or the first few of several."""
    return f"`{methods[0]}`" if len(methods) == 1 else f"any of {first_few(methods)}"


def _product(grid: Grid) -> Iterator[dict[str, Any]]:
    for values in product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def _point(method: Method, values: dict[str, Any], keys: Mapping[str, tuple[str, str]]) -> Point:
    plain = deepcopy(method.plain)
    for key, value in values.items():
        part, name = keys[key]
        found = plain.get(part)
        if not isinstance(found, dict):
            plain[part] = found = {"class_path": found}
        found["init_args"] = {**(found.get("init_args") or {}), name: value}
    return Point(replace(method, plain=plain), values)


def _flat(given: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for key, value in given.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _value(text: Any) -> Any:
    """A number where it is one; YAML would take ``1e-4`` for a word."""
    if not isinstance(text, str):
        return text
    text = text.strip()
    words = {"true": True, "false": False, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return number if math.isfinite(number) else text
    return text

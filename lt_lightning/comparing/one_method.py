"""The settings of one method, or of a grid of it, for a linear layer that it is to replace."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from lt_lightning.checkpoints import UnfitHeadError, to_linear
from lt_lightning.comparing.grid import Grid, Point, points, read_grid, same_setting
from lt_lightning.comparing.methods import Method, built_in_methods, find_methods
from lt_lightning.comparing.settings import SettingsParser, about
from lt_lightning.errors import UsageError
from lt_lightning.heads import Head

_OF_TRAINING = ("epochs", "batch_size")


def method_name(method: object) -> str:
    """A method by its name; a class by its import path, which settings are made from.

    Raises:
        UsageError: If it is neither, or its import path does not lead to the class.
    """
    if isinstance(method, str):
        return method
    if not isinstance(method, type):
        raise UsageError(
            f"`method` must be the name of one method, or the class of a head or a loss, but got {method!r}."
        )
    path = f"{method.__module__}.{method.__qualname__}"
    if getattr(sys.modules.get(method.__module__), method.__qualname__, None) is not method:
        raise UsageError(
            f"`method` is a class that cannot be imported as {path!r}; define it outside of functions and other "
            f"classes, and give the one that has this name now."
        )
    return path


def checked_grid(grid: Any, val_loader: object) -> Grid | None:
    """What settings are chosen from, an empty one for the default; ``None`` where nothing is chosen.

    Raises:
        UsageError: If it is no mapping of values, or nothing is there to choose by.
    """
    if grid is not None and not isinstance(grid, Mapping):
        raise UsageError(f"`grid` must be values by key, such as {{'lr': [1e-3, 1e-2]}}, but got {grid!r}.")
    if grid and val_loader is None:
        raise UsageError(
            "`grid` is given without `val_loader`, the images that choose among its settings; give them, or each "
            "setting by its name."
        )
    return None if val_loader is None else read_grid(plain(grid or {}))


def plain(value: Any) -> Any:
    """Python's own numbers and lists in the place of numpy's and torch's, which settings do not take."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, set | frozenset):
        value = sorted(value, key=repr)  # words would come in another order in each run, and the first one wins a tie
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [plain(one) for one in value]
    return value


def points_of_method(
    name: str, settings: dict[str, Any], grid: Grid | None, layer: nn.Linear, parser: SettingsParser
) -> list[Point]:
    """The method with its settings or, given a grid, several to choose from, found fit before any image is passed.

    Args:
        name: Of the method.
        settings: By name, in the place of the method's own.
        grid: Of :func:`checked_grid`.
        layer: The linear layer that the head is to replace.
        parser: Makes the parts.

    Raises:
        UsageError: If a setting is not the method's, does not suit it, or gives a head without a linear form.
    """
    with _said_of_one_method():
        wanted = [_method(name, settings, layer, parser)]
        if grid is not None:
            wanted = _points(wanted[0].method, settings, grid, parser)
        reasons = []
        for point in wanted:
            with about(point.method.name, point.values if grid else None):
                reasons.append(_why_not_linear(point.method, layer, parser))
    if all(reasons):
        raise UsageError(
            f"`method` {name!r} cannot be put back into the model: {reasons[0]}; choose from "
            f"{', '.join(_folding(layer, parser))}, or train it by `lt-lightning fit`."
        )
    if grid and any(reasons):
        point, reason = next((point, reason) for point, reason in zip(wanted, reasons, strict=True) if reason)
        with _said_of_one_method(), about(point.method.name, point.values):
            raise UsageError(f"This setting cannot be put back into the model ({reason}); leave it out of `grid`.")
    return [point for point, reason in zip(wanted, reasons, strict=True) if not reason]


@contextmanager
def _said_of_one_method() -> Iterator[None]:
    """Have a refusal speak of ``method``, not of the list of methods that a comparison has."""
    try:
        yield
    except UsageError as error:
        raise UsageError(str(error).replace("`methods`", "`method`")) from error


def _points(method: Method, settings: dict[str, Any], grid: Grid, parser: SettingsParser) -> list[Point]:
    """All of a grid or, if it is empty, those of the default grid that have the settings given."""
    (found,) = points([method], grid, parser, default=True).values()
    own = found[0].values
    given = {key: name for key in own for name in settings if same_setting(key, name)}
    if given and (grid or len(given) == len(own)):
        name, chooser = next(iter(given.values())), "grid" if grid else "val_loader"
        raise UsageError(f"`{name}` {settings[name]} is given, and `{chooser}` is to choose it; leave one of them out.")
    return [point for point in found if all(point.values[key] == own[key] for key in given)]


def _why_not_linear(method: Method, layer: nn.Linear, parser: SettingsParser) -> str:
    """Why a head has no linear form; nothing if it has one."""
    try:
        to_linear(_head(method, layer, parser))
    except UnfitHeadError as error:
        return error.reason
    return ""


def _method(name: str, settings: dict[str, Any], layer: nn.Linear, parser: SettingsParser) -> Point:
    """The method with its own settings and those given."""
    if "," in name or name == "all":
        raise UsageError(f"`method` must be one method, but got {name!r}; choose from {', '.join(built_in_methods())}.")
    (found,) = find_methods(name, _ones(layer), parser, layer.in_features)
    of_training = {key: settings[key] for key in _OF_TRAINING if key in settings}
    for key, value in of_training.items():
        if not found.trains:
            raise UsageError(f"`{key}` {value} says nothing to `method` {name!r}, which trains nothing; leave it out.")
        if value is None:  # the parser takes it for any type
            raise UsageError(f"`{key}` must be at least 1, but got None.")
    found = found.with_settings(**of_training)
    one = {key: [value] for key, value in settings.items() if key not in _OF_TRAINING}
    try:
        (point,) = points([found], one, parser, default=False)[found.name]
        with about(found.name, point.values):
            _head(point.method, layer, parser)
    except UsageError as error:  # said of grids
        raise UsageError(str(error).replace("`grid.", "`")) from error
    return point


def _head(method: Method, layer: nn.Linear, parser: SettingsParser) -> Head:
    settings = parser.make(method.plain, method.name)
    try:
        head, loss = settings.parts(layer.in_features, _ones(layer))
    except TypeError as error:  # of None, which the parser takes for any type
        raise UsageError(f"The head or the loss refuses its settings ({error}); give others.") from error
    if method.trains:
        settings.training(head, loss)
    return head


def _ones(layer: nn.Linear) -> list[int]:
    """Images per class, of which only the number of classes matters yet."""
    return [1] * layer.out_features


def _folding(layer: nn.Linear, parser: SettingsParser) -> list[str]:
    """Methods whose heads have a linear form."""
    methods = find_methods("all", _ones(layer), parser)
    return [method.name for method in methods if not _why_not_linear(method, layer, parser)]

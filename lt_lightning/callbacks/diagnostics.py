"""What callbacks of anybody's have to say of a run, as a results file can hold it."""

from collections.abc import Iterable, Mapping
from inspect import getattr_static
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_warn


def diagnostics_of(callbacks: Iterable[Callback]) -> dict[str, Any]:
    """The entries of all attributes ``diagnostics``; those of a later callback come over those of an earlier one.

    A run has been trained when they are asked for, so what is wrong with one costs no more than that one, and a warning
    names it.

    Args:
        callbacks: Each with a dictionary of plain values, tensors or NumPy arrays in ``diagnostics``, or without one.

    Returns:
        Plain values: numbers, text, ``None``, lists and dictionaries of these.
    """
    found: dict[str, Any] = {}
    for callback in callbacks:
        if getattr_static(callback, "diagnostics", None) is None:
            continue
        name = f"`diagnostics` of the callback {type(callback).__name__}"
        try:
            given = callback.diagnostics  # type: ignore[attr-defined]
        except Exception as error:  # of a property: whatever its code raises
            rank_zero_warn(f"{name} cannot be read ({type(error).__name__}: {error}); `results.json` is without them.")
            continue
        if not isinstance(given, Mapping):
            rank_zero_warn(
                f"{name} must be a dictionary, but is a {type(given).__name__}; `results.json` is without them."
            )
            continue
        for key, value in given.items():
            _add(found, str(key), value, name)
    return found


def _add(found: dict[str, Any], key: str, value: object, name: str) -> None:
    try:
        found[key] = _plain(value)
    except TypeError as error:
        rank_zero_warn(
            f"{name} hold {error} under {key!r}; `results.json` is without it: give numbers, text, lists or "
            f"dictionaries of these, tensors or arrays."
        )


def _plain(value: Any) -> Any:
    if callable(to_list := getattr(value, "tolist", None)):  # of tensors, arrays, and NumPy's numbers
        value = to_list()
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a {type(value).__name__}")

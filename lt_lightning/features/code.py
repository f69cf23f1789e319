"""A user's own code, as far as features depend on it."""

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

from torch import nn

_KNOWN = {"torch", "lightning", "lt_lightning", "builtins"} | set(sys.stdlib_module_names) - {"__main__"}
"""Packages whose code is not looked at: FORMAT of :mod:`lt_lightning.features.keys` changes where ours does."""

_MODULES = frozenset(vars(nn.Module()))  # every module's own: mode, hooks, tensors
_OF_DATA = {"trainer", "sampler", "train_sampler"}  # which change no input
_LONGEST = 1000  # longer lists are images or their names, not parts of a transform


def code_of(backbone: nn.Module, makers: Sequence[object] = (), training: bool = False) -> dict[str, str]:
    """What features depend on besides tensors and options, where it is neither torch's nor this package's.

    Of a class or function of one's own the whole file counts, with all files of one's own that it imports from; of a
    notebook, the source of the class. Of installed packages the version counts.

    Args:
        backbone: All of its modules count; of those of one's own, plain attributes too.
        makers: What makes its input: data module and images; transforms among their attributes count.
        training: Whether augmentation is part of that.

    Returns:
        SHA-256, version or values by name.
    """
    found: dict[str, str] = {}
    for name, module in backbone.named_modules():
        _add(module, f"attributes of backbone {name}", found)
    left_out = _OF_DATA if training else _OF_DATA | {"augmentation"}
    for maker in makers:
        _add_code(type(maker), found)
        for name, value in getattr(maker, "__dict__", {}).items():
            if name[:1] != "_" and name not in left_out:
                for number, part in enumerate(_parts(value, set())):
                    # The text of a module, as torchvision's transforms are, says its options.
                    found[f"attribute {name} {number}"] = repr(part) if isinstance(part, nn.Module) else _name(part)
                    _add(part, f"attributes of {name} {number}", found)
    return found


def _parts(value: Any, met: set[int]) -> Iterator[Any]:
    """What does something within a value: functions, and objects that can be called, at any depth."""
    if id(value) in met:
        return
    met.add(id(value))
    if isinstance(value, list | tuple | Mapping):
        entries = list(value.values() if isinstance(value, Mapping) else value)
        for entry in entries if len(entries) <= _LONGEST else []:
            yield from _parts(entry, met)
    elif isinstance(value, partial):
        yield from _parts([value.func, *value.args, *value.keywords.values()], met)
    elif isinstance(value, MethodType):
        yield value.__func__
        yield from _parts(value.__self__, met)
    elif callable(value):
        yield value
        if not isinstance(value, type):
            yield from _parts(getattr(value, "__dict__", {}), met)


def _add(thing: Any, label: str, found: dict[str, str]) -> None:
    """Add the code of a function, a class or an object and, of an object of one's own, its plain values."""
    made = not isinstance(thing, type | FunctionType)
    _add_code(type(thing) if made else thing, found)
    if made and _package(type(thing).__module__) == "":
        values = {name: value for name, value in vars(thing).items() if name not in _MODULES and _is_plain(value)}
        found[label] = repr(sorted(values.items()))


def _add_code(thing: type | FunctionType, found: dict[str, str]) -> None:
    for one in thing.__mro__ if isinstance(thing, type) else (thing,):
        _add_module(one.__module__ or "", found)
        if _package(one.__module__ or "") == "" and _file(one.__module__) is None:
            found[f"{one.__module__}.{one.__qualname__}"] = _hash("".join(_sources(one)).encode())


def _add_module(name: str, found: dict[str, str]) -> None:
    """Add a file of one's own, and those that it imports from; or the version of a package."""
    package = _package(name)
    if package:
        found[package.partition(" ")[0]] = package
    if package != "" or name in found or (file := _file(name)) is None:
        return
    content = file.read_bytes()
    found[name] = _hash(content)
    if file.suffix != ".py":  # an extension
        return
    for imported in _imports(content, name if file.name == "__init__.py" else name.rpartition(".")[0]):
        if _package(imported) == "":
            _add_module(imported, found)


def _imports(source: bytes, package: str) -> Iterator[str]:
    """Names of modules that a file may import from, those within functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)  # each may be a module


def _sources(thing: type | FunctionType) -> Iterator[str]:
    """Of a class or function without a file, as a notebook has them."""
    for value in vars(thing).values() if isinstance(thing, type) else (thing,):
        if isinstance(value, FunctionType):
            with suppress(OSError, TypeError):  # typed in where nothing keeps it
                yield inspect.getsource(value)


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return _is_plain([*value, *value.values()])
    return value is None or isinstance(value, bool | int | float | complex | str | bytes)


def _name(thing: Any) -> str:
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}.{named.__qualname__}"


def _file(module: str) -> Path | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    if module not in sys.modules:  # what a function imports when it runs
        with suppress(ImportError, ValueError):
            file = getattr(find_spec(module), "origin", None)
    return Path(file) if file and Path(file).is_file() else None


@cache
def _package(module: str) -> str | None:
    """Name and version of the installed package that a module is of, ``""`` if it is one's own, ``None`` if known."""
    root = module.partition(".")[0]
    if not root or root in _KNOWN:
        return None
    file = getattr(sys.modules.get(module), "__file__", None)
    if root == "__main__" or (file and not {"site-packages", "dist-packages"} & set(Path(file).parts)):
        return ""
    try:
        return f"{root} {metadata.version(root)}"
    except (metadata.PackageNotFoundError, ValueError):  # its distribution has another name
        names = _distributions().get(root)
        return f"{root} {metadata.version(names[0])}" if names else ""


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Of each package that is installed; to list them takes as long as most extractions take to begin."""
    return metadata.packages_distributions()


def _hash(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()

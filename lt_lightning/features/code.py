"""A user's own code, as far as features depend on it."""

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from math import prod
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
from torch import Tensor, nn

from lt_lightning.data import LTDataModule
from lt_lightning.features.values import Values

_KNOWN = {"torch", "lightning", "lt_lightning", "builtins"} | set(sys.stdlib_module_names) - {"__main__"}
"""Packages whose code is not looked at: FORMAT of :mod:`lt_lightning.features.keys` changes where ours does."""

_OF_DATA = {"trainer", "sampler", "train_sampler"}  # which change no input
_LONGEST = 1000  # longer lists are images or their names, not parts of a transform
_DEEPEST = 10  # lists within lists
_LARGEST = 1_000_000  # numbers; larger arrays are images


def code_of(backbone: nn.Module, makers: Sequence[object] = (), training: bool = False) -> dict[str, str]:
    """What features depend on besides the backbone's tensors and plain options of the data.

    All attributes of the backbone's modules count, whoever wrote them. For a user's own class or function the whole
    file counts, with the user's files that it imports from; in a notebook, the class's source. For installed packages
    the version counts.

    Args:
        backbone: All of its modules count.
        makers: What makes its input: data module and images; transforms among their attributes count, and arrays among
            the data module's.
        training: Whether augmentation is part of that.

    Returns:
        SHA-256, version or values by name.
    """
    values = Values(backbone, makers)
    found = {f"attributes of backbone {name}": values.attributes(module) for name, module in backbone.named_modules()}
    left_out = _OF_DATA if training else _OF_DATA | {"augmentation"}
    for maker in makers:
        for name, value in getattr(maker, "__dict__", {}).items():
            if name[:1] != "_" and name not in left_out:
                for number, part in enumerate(_parts(value, isinstance(maker, LTDataModule))):
                    found[f"attribute {type(maker).__qualname__} {name} {number}"] = values.words(part)
    for kind in dict.fromkeys([*map(type, [*backbone.modules(), *makers]), *values.kinds]):
        _add_code(kind, found)
    return found


def _parts(value: Any, arrays: bool, depth: int = 0) -> Iterator[Any]:
    """What can be called within a value and, if wanted, arrays."""
    if isinstance(value, list | tuple | Mapping):
        entries = list(value.values() if isinstance(value, Mapping) else value)
        for entry in entries if len(entries) <= _LONGEST and depth <= _DEEPEST else []:
            yield from _parts(entry, arrays, depth + 1)
    elif isinstance(value, Tensor | np.ndarray):
        if arrays and prod(value.shape) <= _LARGEST:
            yield value
    elif callable(value):
        yield value


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
    """Source of a class or function without a file, as in a notebook."""
    for value in vars(thing).values() if isinstance(thing, type) else (thing,):
        if isinstance(value, FunctionType):
            with suppress(OSError, TypeError):  # typed in where no source is kept
                yield inspect.getsource(value)


def _file(module: str) -> Path | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    if module not in sys.modules:  # what a function imports when it runs
        with suppress(ImportError, ValueError):
            file = getattr(find_spec(module), "origin", None)
    return Path(file) if file and Path(file).is_file() else None


@cache
def _package(module: str) -> str | None:
    """Name and version of a module's installed package, ``""`` for a user's own module, ``None`` for known ones."""
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
    """Distributions of the installed packages; listing them takes as long as most extractions take to begin."""
    return metadata.packages_distributions()


def _hash(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()

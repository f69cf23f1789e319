"""What a user's own code says, as far as features depend on it."""

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, cached_property, partial
from importlib import metadata
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

_KNOWN = {"torch", "lightning", "lt_lightning"} | set(sys.stdlib_module_names)
"""Packages whose code is not looked at: FORMAT of :mod:`lt_lightning.features.keys` changes where ours does."""

_OF_MODULES = frozenset(vars(nn.Module()))  # hooks, tensors, modules within
_OF_DATA = {"trainer", "sampler", "train_sampler"}  # which decide of no input
_LONGEST = 1000  # longer lists are images or their names, not parts of a transform

_ATTRIBUTES: "WeakKeyDictionary[type, dict[str, Any]]" = WeakKeyDictionary()


def code_of(backbone: nn.Module, makers: Sequence[object] = (), training: bool = False) -> dict[str, str]:
    """What features depend on besides tensors and options, where it is neither torch's nor this package's.

    Code of one's own is followed from the classes of the modules and makers and their bases to whatever functions,
    classes and constants it names, in other files too. It is taken as it is compiled: comments do not count, notebooks
    have it too, and an edit of a file that is already loaded is no part of the run. It differs between versions of
    Python. Of installed packages the version counts.

    Args:
        backbone: All of its modules count; of those of one's own, plain attributes too.
        makers: What makes its input: data module and images; transforms among their attributes count.
        training: Whether augmentation is part of that.

    Returns:
        SHA-256 or version by name.
    """
    walk = _Walk()
    for name, module in backbone.named_modules():
        walk.reach(type(module))
        if _package(type(module).__module__) == "":
            own = {key: value for key, value in vars(module).items() if key not in _OF_MODULES}
            walk.parts[f"attributes of {name}"] = _hash(walk.describe(own))
    left_out = _OF_DATA if training else _OF_DATA | {"augmentation"}
    for maker in makers:
        walk.reach(type(maker))
        for name, value in _vars(maker).items():
            if name[:1] != "_" and name not in left_out:
                walk.follow(name, value)
    return walk.parts


class _Walk:
    """Collects parts by following what code names; everything once."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self._met: set[int] = set()

    def reach(self, thing: Any) -> None:
        """Add a class, a function or a module, and what it names in turn."""
        module = thing.__name__ if isinstance(thing, ModuleType) else _module_of(thing)
        package = _package(module)
        if package is None or id(thing) in self._met:
            return
        self._met.add(id(thing))
        if package:
            self.parts[package.partition(" ")[0]] = package
        elif isinstance(thing, FunctionType):
            self._add(f"{module}.{thing.__qualname__}", self._function(thing))
        elif isinstance(thing, type):
            for base in thing.__mro__[1:]:
                self.reach(base)
            self._add(f"{module}.{thing.__qualname__}", self._class(thing))

    def follow(self, name: str, value: object) -> None:
        """Add an object that does something; plain values are in the description of a transform, if they matter."""
        if isinstance(value, list | tuple) and len(value) <= _LONGEST:
            for number, entry in enumerate(value):
                self.follow(f"{name}.{number}", entry)
        elif callable(value):
            self._add(f"attribute {name}", self.describe(value))

    def describe(self, value: Any) -> str:
        """A value as text that is the same in every process; what it is made of is reached."""
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            return repr(value)
        if isinstance(value, list | tuple):
            return f"[{','.join(map(self.describe, value))}]"
        if isinstance(value, set | frozenset):
            return f"{{{','.join(sorted(map(self.describe, value)))}}}"
        if isinstance(value, Mapping):
            return f"{{{','.join(f'{self.describe(key)}:{self.describe(one)}' for key, one in value.items())}}}"
        if isinstance(value, np.ndarray):
            return f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
        if isinstance(value, Tensor):
            raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            return f"{value.dtype} {tuple(value.shape)} {hashlib.sha256(raw).hexdigest()}"
        if isinstance(value, MethodType):
            return f"{self.describe(value.__func__)} of {self.describe(type(value.__self__))}"
        if isinstance(value, partial):
            return f"partial {self.describe([value.func, value.args, value.keywords])}"
        if isinstance(value, type | FunctionType | ModuleType):
            self.reach(value)
            name = value.__name__ if isinstance(value, ModuleType) else f"{_module_of(value)}.{value.__qualname__}"
            return str(name)
        return self._object(value)

    def _object(self, value: object) -> str:
        kind = type(value)
        self.reach(kind)
        name = f"{kind.__module__}.{kind.__qualname__} {getattr(value, '__name__', '')}"  # of a compiled function
        if id(value) in self._met or not (callable(value) or _package(kind.__module__) == ""):
            return name
        self._met.add(id(value))
        text = f"{name} {self.describe({key: one for key, one in _vars(value).items() if key not in _OF_MODULES})}"
        if isinstance(value, nn.Module):
            tensors = {**dict(value.named_parameters(recurse=False)), **dict(value.named_buffers(recurse=False))}
            text += self.describe([tensors, dict(value.named_children())])
        return text

    def _class(self, kind: type) -> str:
        functions = {name: list(_functions(value)) for name, value in vars(kind).items()}
        if kind not in _ATTRIBUTES:  # once, so that a counter among them is no change of the code
            _ATTRIBUTES[kind] = {
                name: value for name, value in vars(kind).items() if not functions[name] and name[:2] != "__"
            }
        parts = [self.describe(_ATTRIBUTES[kind])]
        for name, found in sorted(functions.items()):
            parts += [f"{name} {self._function(function)}" for function in found]
        return "\n".join(parts)

    def _function(self, function: FunctionType) -> str:
        bound = self.describe([function.__defaults__, function.__kwdefaults__, list(_enclosed(function))])
        wrapped = getattr(function, "__wrapped__", None)
        if _package(function.__globals__.get("__name__", "")) != "":  # a decorator of torch's around code of one's own
            return bound + (self.describe(wrapped) if isinstance(wrapped, FunctionType) else "")
        names = set(_names(function.__code__))
        named = {name: function.__globals__[name] for name in names & set(function.__globals__)}
        for module in [value for value in named.values() if isinstance(value, ModuleType)]:
            if _package(module.__name__) == "":
                named |= {f"{module.__name__}.{name}": vars(module)[name] for name in names & set(vars(module))}
        constants = {name: self.describe(value) for name, value in sorted(named.items())}
        return f"{bound} {_compiled(function.__code__)} {constants}"

    def _add(self, name: str, text: str) -> None:
        # Several things may share a name, as what a notebook defines again.
        self.parts[name] = _hash(self.parts.get(name, "") + text)


def _functions(value: Any) -> Iterator[FunctionType]:
    """Those of a class's entry: a method, or those within a property."""
    if isinstance(value, FunctionType):
        yield value
    elif isinstance(value, staticmethod | classmethod):
        yield from _functions(value.__func__)
    elif isinstance(value, property):
        for one in (value.fget, value.fset):
            yield from _functions(one)
    elif isinstance(value, cached_property):
        yield from _functions(value.func)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _compiled(code: CodeType) -> str:
    """Instructions, names and constants, without places in a file."""
    constants = []
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            constants.append(_compiled(constant))
        else:  # a set's order is another in each process
            constants.append(repr(sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant))
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {code.co_freevars} {constants}"


def _module_of(thing: Any) -> str:
    # A decorator gives its function the module of what it wraps; where its own code is from, its globals say.
    if isinstance(thing, FunctionType) and not hasattr(thing, "__wrapped__"):
        return str(thing.__globals__.get("__name__", ""))
    return str(getattr(thing, "__module__", None) or "")


def _vars(value: object) -> dict[str, Any]:
    return cast(dict[str, Any], getattr(value, "__dict__", {}))


def _enclosed(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # nothing is in it yet
            yield cell.cell_contents


@cache
def _package(module: str) -> str | None:
    """Name and version of the installed package that a module is of, ``""`` if it is one's own, ``None`` if known."""
    root = module.partition(".")[0]
    if root in _KNOWN:
        return None
    file = getattr(sys.modules.get(module), "__file__", None)
    if root == "__main__" or (file and not {"site-packages", "dist-packages"} & set(Path(file).parts)):
        return ""
    try:
        return f"{root} {metadata.version(root)}"
    except (metadata.PackageNotFoundError, ValueError):  # its distribution has another name
        names = metadata.packages_distributions().get(root)
        return f"{root} {metadata.version(names[0])}" if names else ""


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

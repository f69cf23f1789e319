"""What attributes hold, in words that are the same for equal values in each process."""

import hashlib
import os
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from functools import partial
from itertools import chain, islice
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lt_lightning.features.keys import weights_hash
from lt_lightning.packages import comes_from

# Every module's own, such as mode, hooks and tensors, and what compiling adds.
_MODULES = frozenset(vars(nn.Module())) | {"_compiled_call_impl", "_torchdynamo_wrapper_id"}
_OF_WEIGHTS = frozenset({"weights_file", "published_transform"})  # where they are from; they count themselves
_OF_RUNS = frozenset({"lightning", "pytorch_lightning", "logging", "threading"})  # trainers and logs make no features
_LONGEST = 1000  # entries of a list or dictionary that are looked at, unless all are plain
_DEEPEST = 40  # steps from an attribute to what it refers to
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class Values:
    """Puts values into words and notes which classes and functions they are made of.

    Equal values give equal words in any process: neither addresses nor the order of sets is part of them.

    Args:
        backbone: Its modules and their tensors, which are hashed elsewhere, are named where other values refer to them.
        known: Other objects that are not to be looked into where values refer to them.
    """

    def __init__(self, backbone: nn.Module, known: Sequence[object] = ()) -> None:
        self.kinds: list[Any] = []
        self._depth = 0
        # Of each value by its id; the value is kept as well, so that no other gets that id.
        self._said: dict[int, tuple[object, str]] = {}
        of_backbone = chain(backbone.named_modules(), backbone.named_parameters(), backbone.named_buffers())
        for name, thing in (*of_backbone, *((type(thing).__qualname__, thing) for thing in known)):
            self._said[id(thing)] = thing, f"known {name}"

    def attributes(self, thing: object) -> str:
        """Words for what an object holds, without what every module has and where weights are from.

        What a pass leaves in a module counts too: a network that counts its passes may be extracted again.
        """
        left_out = _OF_WEIGHTS | _MODULES if isinstance(thing, nn.Module) else _OF_WEIGHTS
        held = _held(thing)
        return repr([(name, self.words(held[name])) for name in sorted(held.keys() - left_out)])

    def words(self, value: object) -> str:
        """Words for any value: as they stand if it is plain, otherwise a hash."""
        if _is_plain(value):
            return repr(value)
        if id(value) not in self._said:
            self._said[id(value)] = value, "within itself"  # where a circle ends
            self._depth += 1
            parts = self._parts(value) if self._depth < _DEEPEST else iter(())
            text = "\n".join((_name(value), *parts))
            self._depth -= 1
            self._said[id(value)] = value, hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
        return self._said[id(value)][1]

    def _parts(self, value: Any) -> Iterator[str]:
        """Words for all that a value consists of."""
        if isinstance(value, Tensor):
            yield f"{value.dtype} {tuple(value.shape)} {_hash_of_tensor(value)}"
        elif isinstance(value, np.ndarray):
            content = value.tolist() if value.dtype.hasobject else hashlib.sha256(value.tobytes()).hexdigest()
            yield f"{value.dtype} {value.shape} {self.words(content)}"
        elif isinstance(value, Mapping):
            yield from map(self.words, chain.from_iterable(islice(value.items(), _LONGEST)))
        elif isinstance(value, list | tuple | deque):
            yield from map(self.words, islice(value, _LONGEST))
        elif isinstance(value, set | frozenset):
            yield from sorted(map(self.words, value))
        elif isinstance(value, Enum):
            yield value.name
        elif isinstance(value, os.PathLike):
            yield os.fspath(value)
        elif isinstance(value, type | FunctionType | BuiltinFunctionType | MethodType | partial | CodeType):
            yield from self._parts_of_code(value)
        elif isinstance(value, nn.Module):
            yield weights_hash(value)
            for module in value.modules():
                self.kinds.append(type(module))
                yield self.attributes(module)
        elif not isinstance(value, ModuleType | torch.device) and not comes_from(type(value), *_OF_RUNS):
            self.kinds.append(type(value))
            yield self.attributes(value) if _held(value) else _ADDRESS.sub("", repr(value))

    def _parts_of_code(self, value: Any) -> Iterator[str]:
        """Words for what can be called; what a function reads besides is in its file."""
        if isinstance(value, type | FunctionType):
            self.kinds.append(value)
        if isinstance(value, FunctionType):
            # Two functions written within another one may have the same name.
            parts = [value.__code__, value.__defaults__, value.__kwdefaults__, *_enclosed(value)]
        elif isinstance(value, CodeType):
            parts = [value.co_code, value.co_names, value.co_consts]
        elif isinstance(value, partial):
            parts = [value.func, value.args, value.keywords]
        elif isinstance(value, MethodType):
            parts = [value.__func__, value.__self__]
        else:
            parts = [getattr(value, "__self__", None)]  # of a method written in C
        yield from map(self.words, parts)


def _hash_of_tensor(tensor: Tensor) -> str:
    if tensor.is_meta:  # which has no values
        return ""
    raw = tensor.detach().cpu().to_dense().resolve_conj().resolve_neg().contiguous()
    return hashlib.sha256(raw.reshape(-1).view(torch.uint8).numpy().data).hexdigest()


def _is_plain(value: object, depth: int = 0) -> bool:
    if isinstance(value, list | tuple):
        return depth < _DEEPEST and all(_is_plain(entry, depth + 1) for entry in value)
    if isinstance(value, dict):
        return _is_plain([*value, *value.values()], depth)
    return value is None or isinstance(value, bool | int | float | complex | str | bytes)


def _held(thing: object) -> dict[str, Any]:
    """Attributes of an object, those in slots too."""
    slots = [slot for kind in type(thing).__mro__ for slot in _listed(vars(kind).get("__slots__", ()))]
    held = {name: getattr(thing, name) for name in slots if name[:2] != "__" and hasattr(thing, name)}
    return held | getattr(thing, "__dict__", {})


def _listed(names: Any) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _enclosed(function: FunctionType) -> Iterator[Any]:
    """What a function written within another one takes from there."""
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # nothing is in it yet
            yield cell.cell_contents


def _name(value: Any) -> str:
    named = value if isinstance(value, type | FunctionType | BuiltinFunctionType) else type(value)
    return f"{named.__module__}.{named.__qualname__}"

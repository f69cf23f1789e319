"""``null`` in a configuration where an argument of this package's needs a value.

Below ``init_args`` jsonargparse lets a null pass for any type.
"""

import inspect
from collections.abc import Hashable, Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from jsonargparse import Namespace

from lt_lightning.errors import UsageError
from lt_lightning.modules import LTModule
from lt_lightning.packages import imported, is_ours
from lt_lightning.records import FROM_DATA

_ADVICE = {"lr_scheduler": "for a constant rate give torch.optim.lr_scheduler.ConstantLR with factor 1"}
"""What else to do, by the name of an argument."""


def refuse_nulls(config: Namespace, kind: type | None = None) -> None:
    """Refuse a null for an argument that cannot be one: of a class of this package, or of one derived from such.

    What an annotation admits, or leaves open, or a default is, passes; so does all that is somebody else's.

    Args:
        config: As parsed, before anything is made of it.
        kind: The class whose arguments it holds, where it is no whole configuration.

    Raises:
        UsageError: If there is one.
    """
    for key, argument in _wrong_nulls(config, kind, ""):
        remedies = ["give a value" if argument.default is argument.empty else "give a value, or leave it out"]
        if argument.name in _ADVICE:
            remedies.append(_ADVICE[argument.name])
        raise UsageError(f"`{key}` is null, which it cannot be; {'; '.join(remedies)}.")


def _wrong_nulls(settings: Any, kind: Any, key: str) -> Iterator[tuple[str, inspect.Parameter]]:
    """The key of each, and the argument.

    Args:
        settings: The whole configuration or a part of it.
        kind: The class whose arguments these are, if they are one's.
        key: Of the part.
    """
    if isinstance(settings, Namespace) and "class_path" in settings:
        made = imported(settings.class_path)
        kind = made if isinstance(made, type) else None
        yield from _wrong_nulls(settings.get("init_args"), kind, key)
        # Where the parser cannot tell what a class takes; unlike `init_args` it is part of what is typed.
        yield from _wrong_nulls(settings.get("dict_kwargs"), kind, f"{key}.dict_kwargs")
        return
    named = vars(settings) if isinstance(settings, Namespace) else settings
    if isinstance(named, list | tuple):
        named = dict(enumerate(named))
    for name, value in named.items() if isinstance(named, dict) else ():
        where = f"{key}.{name}" if key else str(name)
        argument = _needing_value(kind, name) if value is None and kind is not None else None
        if argument is not None:
            yield where, argument
        yield from _wrong_nulls(value, None, where)


def _needing_value(kind: type, name: str) -> inspect.Parameter | None:
    """An argument of a class that cannot be null; ``None`` where it can, or nobody knows."""
    if not any(map(is_ours, kind.__mro__)) or (issubclass(kind, LTModule) and name in FROM_DATA):
        return None
    for owner in kind.__mro__:  # an argument may be handed on to the base class
        begin: Any = vars(owner).get("__init__")
        argument = inspect.signature(begin).parameters.get(name) if inspect.isfunction(begin) else None
        if argument is not None:
            return argument if argument.default is not None and not _may_be_null(begin, argument) else None
    return None


def _may_be_null(begin: Any, argument: inspect.Parameter) -> bool:
    """Whether the annotation of an ``__init__``'s argument admits ``None``, is not there, or cannot be read."""
    if argument.annotation is argument.empty:
        return True
    try:
        return _admits_none(get_type_hints(begin, include_extras=True)[argument.name])
    except (NameError, TypeError, AttributeError, SyntaxError):  # of text that names what only a type checker imports
        return True


def _admits_none(hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is Annotated:
        return _admits_none(get_args(hint)[0])
    if origin in (Union, UnionType):
        return any(map(_admits_none, get_args(hint)))
    if origin is Literal:
        return None in get_args(hint)
    if hint in (NoneType, Any, object, Hashable):
        return True
    return origin is None and not isinstance(hint, type)  # a type variable and the like leave it open

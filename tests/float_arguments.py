"""Which arguments of a part are numbers."""

from inspect import signature
from typing import Any


def float_arguments(kind: type[Any]) -> list[str]:
    """Names of the arguments that may be any float, in their order."""
    given = signature(kind).parameters.values()
    return [one.name for one in given if one.annotation is float or one.annotation == (float | None)]

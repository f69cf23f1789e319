"""What a checkpoint says of its head, so that whoever reads its weights knows how they act."""

import inspect
from typing import Any

from torch import nn

_FROM_DATA = ("self", "in_features", "class_counts")


def head_record(head: nn.Module) -> dict[str, Any]:
    """Import path and plain constructor arguments of a head, read off the attributes of the same names.

    A module made in Python keeps no arguments of its parts. Arguments that became tensors are not among these: the
    state dict has them.

    Returns:
        ``class_path`` and ``init_args``, as a YAML file has them.
    """
    kind = type(head)
    names = [name for name in inspect.signature(kind.__init__).parameters if name not in _FROM_DATA]
    found = {name: getattr(head, name, None) for name in names}
    plain = {name: value for name, value in found.items() if isinstance(value, bool | int | float | str)}
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": plain}

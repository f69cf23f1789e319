"""What a checkpoint says of its head, so that whoever reads its weights knows how they act."""

from typing import Any

from torch import nn

from lt_lightning.wording import class_path, plain_settings


def head_record(head: nn.Module) -> dict[str, Any]:
    """Import path and plain constructor arguments of a head, read off the attributes of the same names.

    A module made in Python keeps no arguments of its parts. Arguments that became tensors are not among these: the
    state dict has them.

    Returns:
        ``class_path`` and ``init_args``, as a YAML file has them.
    """
    settings = plain_settings(head)
    settings.pop("in_features", None)  # which the data decide
    return {"class_path": class_path(head), "init_args": settings}

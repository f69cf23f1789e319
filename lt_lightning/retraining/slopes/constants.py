"""What a loss was made with."""

from collections.abc import Hashable

from lt_lightning.losses import Loss


def constants(loss: Loss) -> Hashable:
    """Class, arguments and buffers of a loss: equal for two that compute the same."""
    own = {name: value for name, value in vars(loss).items() if not name.startswith("_") and name != "training"}
    buffers = {name: tuple(buffer.tolist()) for name, buffer in loss.named_buffers()}
    return type(loss), repr(sorted(own.items())), tuple(sorted(buffers.items()))

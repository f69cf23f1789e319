"""What only a user's own parts do: write into tensors that others share, and draw random numbers."""

from torch import Tensor, nn

from lt_lightning.packages import comes_from, is_ours


def unshared(given: Tensor, *parts: nn.Module) -> Tensor:
    """A tensor that others get too, as a head and a loss may be given it: a copy if one of them is a user's own.

    Args:
        given: Features, logits or classes; some are mapped from a file for reading alone.
        parts: Who gets it.
    """
    return given if all(is_ours(type(part)) for part in parts) else given.clone()


def is_known(part: object) -> bool:
    """Whether a part is this package's or torch's; what a user's own does is unknown."""
    return comes_from(type(part), "torch", "lt_lightning")

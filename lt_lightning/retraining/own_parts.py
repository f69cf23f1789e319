"""What parts of one's own may do and the package's never do: write into what others share, and draw random numbers."""

from torch import Tensor, nn

from lt_lightning.wording import is_ours


def unshared(given: Tensor, *parts: nn.Module) -> Tensor:
    """What a head and a loss may be given of a tensor that others get too: a copy, if one of them is one's own.

    Args:
        given: Features, logits or classes; some are mapped from a file for reading alone.
        parts: Who gets it.
    """
    return given if all(is_ours(type(part)) for part in parts) else given.clone()


def is_known(part: object) -> bool:
    """Whether a part is this package's or torch's; of one's own nobody knows what it does."""
    return type(part).__module__.partition(".")[0] in ("torch", "lt_lightning")

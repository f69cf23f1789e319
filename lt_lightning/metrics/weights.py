"""Norms of classifier weights."""

from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor, nn

from lt_lightning.errors import UsageError
from lt_lightning.functional.classifiers import row_norms


@torch.no_grad()
def weight_norms(head: nn.Module) -> Tensor:
    """Euclidean norm of each class's weights, as they act on features.

    Args:
        head: Any head, or a linear layer. Where it equals a plain linear layer (``to_linear``) that layer's weights
            count, so τ-norm and learnt scales are included; else its own ``weight``.

    Returns:
        ``(K,)``, in fp32 at least.

    Raises:
        UsageError: If it has neither.
    """
    weight = getattr(head, "weight", None)
    to_linear: Callable[[], nn.Linear] | None = getattr(head, "to_linear", None)
    if to_linear is not None:
        with suppress(UsageError):
            weight = to_linear().weight
    if not isinstance(weight, Tensor):
        raise UsageError(f"`head` {type(head).__name__} has no weight per class whose norm could be taken.")
    return row_norms(weight)

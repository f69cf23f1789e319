"""Norms of classifier weights, and angles between them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lt_lightning.errors import UsageError
from lt_lightning.functional.classifiers import row_cosines, row_norms


@torch.no_grad()
def weight_norms(head: nn.Module) -> Tensor:
    """Euclidean norm of each class's weights, as they act on features.

    Args:
        head: Any head, or a linear layer. Where it equals a plain linear layer (``to_linear``) that layer's weights
            count, so τ-norm and learnt scales are included; else its own ``weight``.

    Returns:
        ``(K,)``, in fp32 at least.

    Raises:
        UsageError: If it has neither, or its own predictions with the layer of another head.
    """
    return row_norms(_class_weights(head))


@torch.no_grad()
def weight_cosines(head: nn.Module) -> dict[str, Tensor]:
    """Cosines of the angles between each class's weights and those of all other classes.

    Args:
        head: As for :func:`weight_norms`, with 2 classes at least.

    Returns:
        ``mean`` and ``max`` over the other classes, ``(K,)`` each, in fp32 at least. Weights that are spread as evenly
        as can be (a simplex) have ``-1 / (K - 1)`` in both.

    Raises:
        UsageError: As :func:`weight_norms`, and if it has a single class.
    """
    weight = _class_weights(head)
    if len(weight) < 2:
        raise UsageError(f"`head` {type(head).__name__} must have at least 2 classes, but has {len(weight)}.")
    mean, largest = row_cosines(weight)
    return {"mean": mean, "max": largest}


def _class_weights(head: nn.Module) -> Tensor:
    layer = _linear_form(head)
    weight = getattr(head, "weight", None) if layer is None else layer.weight
    if not isinstance(weight, Tensor):
        raise UsageError(f"`head` {type(head).__name__} has no weight per class whose norm could be taken.")
    return weight


def _linear_form(head: nn.Module) -> nn.Linear | None:
    to_linear: Callable[[], nn.Linear] | None = getattr(head, "to_linear", None)
    holds: Callable[[], bool] = getattr(head, "linear_form_holds", lambda: True)
    try:
        layer = None if to_linear is None else to_linear()
    except UsageError:
        return None
    if not holds():
        raise UsageError(
            f"`head` {type(head).__name__} predicts in its own way, but has inherited its `to_linear`, so the weights "
            f"that act on features are not known; define that method as well."
        )
    return layer

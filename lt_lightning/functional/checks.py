"""Checks of what tensors look like, by shapes and types alone, so that nothing waits for a device."""

import torch
from torch import Tensor

from lt_lightning.errors import UsageError


def check_width(values: Tensor, width: int, name: str = "logits") -> None:
    """Refuse what is not ``(N, width)``. Skipped while torch.jit traces, which warns about Python tests of shapes.

    Raises:
        UsageError: If the shape is another; the message calls ``values`` by ``name``.
    """
    if torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
        return
    if values.ndim != 2 or values.shape[1] != width:
        raise UsageError(f"`{name}` must have shape (N, {width}), but got {tuple(values.shape)}.")


def check_targets(targets: Tensor, number: int, name: str = "targets") -> None:
    """Refuse what is not one class for each of ``number`` samples.

    Raises:
        UsageError: In a sentence that calls ``targets`` by ``name``, if it has another shape than ``(number,)``, or
            another type than int64.
    """
    if targets.ndim != 1 or len(targets) != number or targets.dtype != torch.int64:
        raise UsageError(
            f"`{name}` must hold the class of each of {number} samples, ({number},) and int64, but got "
            f"{tuple(targets.shape)} and {type_of(targets)}."
        )


def type_of(tensor: Tensor) -> str:
    """The type of a tensor's numbers, such as ``float32``."""
    return str(tensor.dtype).removeprefix("torch.")


def kind_of(given: object) -> str:
    """What was given where a tensor is wanted, for a message: its shape and type, or what it is instead."""
    if isinstance(given, Tensor):
        return f"a tensor of shape {tuple(given.shape)} and type {type_of(given)}"
    return f"a {type(given).__name__}" if given is not None else "nothing"

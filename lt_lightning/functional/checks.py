"""Checks of what tensors look like, by shapes and types alone, so that nothing waits for a device."""

from typing import Any

import torch
from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.wording import kind


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
    return kind(given)


def images_and_targets(batch: Any, data: object, learns: bool = True) -> tuple[Any, Any]:
    """The two parts of a batch; only a network can tell whether the first is what it takes.

    Args:
        batch: As data give it.
        data: The data module, for the message; ``None`` where there is none.
        learns: Whether the targets are looked at; else names may stand there, and more behind.

    Raises:
        UsageError: If the batch is no pair, or its second part no tensor.
    """
    if not learns and isinstance(batch, tuple | list) and len(batch) > 1 and isinstance(batch[0], Tensor):
        return batch[0], batch[1]
    if isinstance(batch, tuple | list) and len(batch) == 2 and isinstance(batch[1], Tensor):
        return batch[0], batch[1]
    source = "The data" if data is None else f"`{type(data).__name__}`"
    raise UsageError(f"{source} must give batches (images, targets), two tensors, but gave {kind_of(batch)}.")

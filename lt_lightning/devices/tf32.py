"""Whether fp32 products on a GPU may be of TF32 numbers, which have ten bits after the point: a process's setting."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

Setting = tuple[str, bool]
"""That of matrix products, as ``torch.get_float32_matmul_precision`` names it, and that of convolutions."""


def allow_tf32(allowed: bool, device: torch.device) -> Setting | None:
    """Set it for matrix products and convolutions.

    Args:
        allowed: Whether they may be of TF32 numbers.
        device: Where they are computed; nothing is set for one without TF32.

    Returns:
        What was set before, for :func:`put_back`; ``None`` if nothing has been set.
    """
    if device.type != "cuda":
        return None
    with _without_advice():
        before = (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32)
        _set("high" if allowed else "highest", allowed)
    return before


def put_back(before: Setting | None) -> None:
    """Set what was set before.

    Args:
        before: What :func:`allow_tf32` returned; nothing is set for ``None``.
    """
    if before is not None:
        with _without_advice():
            _set(*before)


@contextmanager
def tf32(allowed: bool, device: torch.device) -> Iterator[None]:
    """Set it for a while; see :func:`allow_tf32`."""
    before = allow_tf32(allowed, device)
    try:
        yield
    finally:
        put_back(before)


def _set(products: str, convolutions: bool) -> None:
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = convolutions


@contextmanager
def _without_advice() -> Iterator[None]:
    """Torch 2.9 advises other names, but refuses whoever asks by the old ones then, which Lightning does."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Please use the new API settings to control TF32")
        yield

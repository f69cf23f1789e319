"""Keeping float64 constants and accumulators exact while a module moves between devices and precisions."""

from collections.abc import Callable

import torch
from torch import Tensor


def widest_float(device: torch.device) -> torch.dtype:
    """The most precise floating-point type of ``device``: fp64, but fp32 on Apple's MPS, which has no fp64."""
    return torch.float32 if device.type == "mps" else torch.float64


def keeping_precision(move: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A version of ``move`` that changes the device of a tensor and leaves its precision alone.

    ``module.to("mps")`` fails on a float64 buffer, and ``module.to(torch.bfloat16)`` (Lightning's ``bf16-true``) would
    leave log priors and counters with three digits; modules whose buffers must survive both pass their ``_apply``
    function through here.

    Args:
        move: What ``nn.Module._apply`` is given.

    Returns:
        A function from a tensor to that tensor on the device that ``move`` chooses; fp64 becomes
        :func:`widest_float` of that device.
    """

    def moved(tensor: Tensor) -> Tensor:
        device = move(tensor.new_empty(0, dtype=torch.float32)).device
        return tensor.to(device, widest_float(device) if tensor.dtype == torch.float64 else tensor.dtype)

    return moved

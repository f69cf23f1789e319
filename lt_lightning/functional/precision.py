"""Keeping the mathematics of logits out of half precision, whatever autocast does, and fp64 constants in fp64."""

from collections.abc import Callable

import torch
from torch import Tensor


def at_least_fp32(tensor: Tensor) -> Tensor:
    """``tensor`` in fp32 if it is in half precision, else as it is (fp64 stays fp64)."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def outside_autocast(tensor: Tensor) -> torch.autocast:
    """A context without autocast on the tensor's device; the meta device has no autocast, so it takes the CPU's."""
    return torch.autocast("cpu" if tensor.is_meta else tensor.device.type, enabled=False)


def linear(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A linear layer computed outside autocast, in fp32 at least.

    Tail classes win or lose by logit gaps of about 1 (LORT at K = 100), which a bf16 product blurs.

    Args:
        features: ``(N, D)``.
        weight: ``(K, D)``.
        bias: ``(K,)`` or ``None``.

    Returns:
        Logits ``(N, K)``.
    """
    with outside_autocast(features):
        features = at_least_fp32(features)
        dtype = torch.promote_types(features.dtype, weight.dtype)
        return torch.nn.functional.linear(
            features.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        )


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

"""Keeping the mathematics of logits out of half precision, whatever autocast does."""

import torch
from torch import Tensor


def at_least_fp32(tensor: Tensor) -> Tensor:
    """``tensor`` in fp32 if it is in half precision, else as it is (fp64 stays fp64)."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def outside_autocast(tensor: Tensor) -> torch.autocast:
    """A context in which autocast leaves products of such tensors alone; the meta device has no autocast of its own."""
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

"""The name of features on disk: a hash of everything they depend on."""

import hashlib
import json
from typing import Any

import torch
from torch import Tensor, nn

FORMAT = 5
"""Version of blocks, draws, file layout and keys; after a change files of earlier versions are not found."""


def weights_hash(module: nn.Module) -> str:
    """SHA-256 over class, structure, and name, type, shape and bytes of every parameter and buffer."""
    digest = hashlib.sha256(f"{type(module).__module__}.{type(module).__qualname__}\n{module!r}\n".encode())
    tensors: dict[str, Tensor] = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def cache_key(parts: dict[str, Any]) -> str:
    """SHA-256 of plain values, 64 hexadecimal digits."""
    text = json.dumps({"format": FORMAT, **parts}, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()

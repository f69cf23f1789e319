"""A stand-in for a GPU: like one, and unlike tensors without values, it draws from a generator of its own alone."""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class OneDevice(TorchFunctionMode):
    """Refuse to draw on another device than the generator's, in the words that torch has for it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        generator = options.get("generator")
        if generator is not None:
            own = args[0].device if args and isinstance(args[0], Tensor) else "cpu"
            wanted = torch.device(options.get("device") or own)
            if wanted.type != generator.device.type:
                found = generator.device.type
                raise RuntimeError(f"Expected a '{wanted.type}' device type for generator but found '{found}'")
        return func(*args, **options)

"""How many tensors are kept at the same time."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class KeptTensors(TorchDispatchMode):
    """Notes how many of the tensors that are computed there are at the same time, views of one counted once.

    Attributes:
        most: Of them.
    """

    def __init__(self):
        super().__init__()
        self.most = 0
        self._computed = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor):
            self._computed.append(weakref.ref(found))
        alive = [(each, tensor) for each in self._computed if (tensor := each()) is not None]
        self._computed = [each for each, _ in alive]
        self.most = max(self.most, len({tensor.untyped_storage().data_ptr() for _, tensor in alive}))
        return found

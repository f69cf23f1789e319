"""Where modules are."""

import torch
from torch import nn


def device_of_modules(*modules: nn.Module) -> torch.device:
    """The device of modules; the CPU's if they have no tensors."""
    tensors = (tensor for module in modules for tensor in (*module.parameters(), *module.buffers()))
    return next((tensor.device for tensor in tensors), torch.device("cpu"))

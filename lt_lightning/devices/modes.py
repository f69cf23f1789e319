"""Modes that torch may be in where a function of ours is called."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

_AUTOCAST = ("cpu", "cuda", "mps", "xpu")  # each has an autocast of its own, also where there is no such device


@contextmanager
def usual_modes() -> Iterator[None]:
    """Let torch compute as it does where nobody has set anything, whatever mode the caller is in.

    What is made in inference mode cannot be trained, autocast rounds what heads compute, and with another default dtype
    than fp32, or another device than the CPU, heads would not be what and where features are.
    """
    dtype = torch.get_default_dtype()
    with ExitStack() as modes:
        if dtype != torch.float32:  # which is the whole process's, whatever its other threads do meanwhile
            modes.callback(torch.set_default_dtype, dtype)
            torch.set_default_dtype(torch.float32)
        if torch.get_default_device().type != "cpu":
            modes.enter_context(torch.device("cpu"))
        modes.enter_context(torch.inference_mode(False))  # turns gradients on as well
        for kind in _AUTOCAST:
            modes.enter_context(torch.autocast(kind, enabled=False))
        yield

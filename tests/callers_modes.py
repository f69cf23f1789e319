"""Modes of torch that a caller may be in."""

from contextlib import contextmanager
from functools import partial

import pytest
import torch


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


MODES = [
    pytest.param(torch.no_grad, id="no_grad"),
    pytest.param(torch.inference_mode, id="inference_mode"),
    pytest.param(partial(torch.autocast, "cpu", torch.bfloat16), id="autocast"),
    pytest.param(partial(default_dtype, torch.float64), id="float64"),
    pytest.param(partial(default_dtype, torch.bfloat16), id="bfloat16"),
]

"""Whatever mode a caller is in."""

from contextlib import suppress

import pytest
import torch
from callers_modes import MODES

from lt_lightning.devices.modes import usual_modes


def modes():
    layer = torch.nn.Linear(2, 3)
    outputs = layer(torch.ones(1, 2, dtype=layer.weight.dtype))
    return layer.weight.dtype, outputs.dtype, outputs.requires_grad, layer.weight.is_inference()


@pytest.mark.parametrize("callers", MODES)
@pytest.mark.parametrize("error", [False, True])
def test_the_usual_ones_are_in_force_for_a_while(callers, error):
    usual = modes()
    assert usual == (torch.float32, torch.float32, True, False)
    with callers():
        before = modes()
        assert before != usual
        with suppress(KeyError), usual_modes():
            assert modes() == usual
            if error:
                raise KeyError
        assert modes() == before
    assert modes() == usual

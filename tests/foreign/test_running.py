"""Running modules of all sorts."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import sleep

import pytest
import torch
from torch import nn

from lt_lightning.errors import UsageError
from lt_lightning.foreign.last_layers import find_last_linear
from lt_lightning.foreign.layer_inputs import inputs_of
from tests.foreign_networks import IMAGES, Net


def test_a_compiled_network_that_has_been_run_is_known():
    """Its compiled code calls no hooks that came after it."""
    model = torch.compile(Net().eval(), backend="eager")
    with torch.no_grad():
        model(IMAGES)
    assert find_last_linear(model, IMAGES) == "_orig_mod.fc"
    assert find_last_linear(model, IMAGES, "_orig_mod.fc") == "_orig_mod.fc"
    features, _ = inputs_of(model, "_orig_mod.fc", [(IMAGES, torch.arange(4))], "train_loader")
    with torch.no_grad():
        torch.testing.assert_close(model._orig_mod.fc(features), model(IMAGES))


@pytest.mark.parametrize("layer", [nn.Conv2d(1, 1, 1), nn.Linear(8, 8), nn.LayerNorm(8)])
def test_images_of_another_type_than_the_weights_are_said(layer):
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(64, 5)).bfloat16()
    message = (
        r"`{}` gives images in torch.float32, and `model` Sequential has weights in torch.bfloat16 \(.*\); convert"
    )
    with pytest.raises(UsageError, match=message.format("train_loader")):
        find_last_linear(model, IMAGES)
    with pytest.raises(UsageError, match=message.format("val_loader")):
        inputs_of(model, "2", [(IMAGES, torch.arange(4))], "val_loader")
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        find_last_linear(model, IMAGES[:, :, :4].bfloat16())


def test_threads_leave_compiled_code_as_they_found_it():
    inside = Event()

    def first(logits):  # in and out before the other, if that may come between
        inside.set()
        sleep(0.1)
        return logits

    def second(logits):
        sleep(0.2)
        return logits

    def run(model):
        if model.end is second:
            inside.wait(5)
        find_last_linear(model, IMAGES)

    calls = []
    compiled = torch.compile(
        nn.Linear(3, 2), backend=lambda module, _: lambda *given: calls.append(1) or module(*given)
    )
    compiled(torch.ones(1, 3))
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(run, [Net(first), Net(second)]))
    calls.clear()
    compiled(torch.ones(1, 3))
    assert calls == [1]

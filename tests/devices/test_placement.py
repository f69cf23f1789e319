"""Where modules are."""

import torch
from torch import nn

from lt_lightning.devices.placement import device_of_modules


def test_modules_are_where_their_first_tensor_is():
    statistics = nn.BatchNorm1d(3, affine=False, device="meta")
    assert list(statistics.parameters()) == []
    for modules in ([nn.Linear(2, 3, device="meta")], [statistics], [nn.ReLU(), statistics], [statistics, nn.ReLU()]):
        assert device_of_modules(*modules) == torch.device("meta")
    assert device_of_modules(nn.Linear(2, 3), statistics) == torch.device("cpu")


def test_without_tensors_they_are_on_the_processor():
    assert device_of_modules() == device_of_modules(nn.ReLU()) == torch.device("cpu")

"""Files of weights as scripts save them."""

from collections import OrderedDict
from pathlib import Path

import pytest
from torch import nn

from lt_lightning import checkpoints
from lt_lightning.backbones import SmallCNN


@pytest.fixture(scope="session")
def backbone():
    return SmallCNN(8)


@pytest.fixture(scope="session")
def network():
    """A state dict as a plain PyTorch script would save it."""

    def make(backbone, classes=10, prefix="", classifier="fc.", bias=True):
        head = nn.Linear(backbone.num_features, classes, bias=bias)
        tensors = {f"{prefix}{key}": value for key, value in backbone.state_dict().items()}
        return OrderedDict(tensors | {f"{classifier}{key}": value for key, value in head.state_dict().items()})

    return make


@pytest.fixture(scope="session")
def in_memory():
    def make(tensors, **facts):
        return checkpoints.Checkpoint(Path("some.pth"), dict(tensors), "PyTorch state dict", **facts)

    return make

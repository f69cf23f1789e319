"""A backbone that counts its passes, and features of the digits' size."""

import pytest
import torch
from torch import Tensor

from lt_lightning.backbones import Backbone, SmallCNN
from lt_lightning.features import ExtractionOptions

QUIET = {"progress": False, "device": "cpu", "channels_last": False}


class Counting(Backbone):
    """A SmallCNN of 8 features that fails after some passes, if told to; its copies count for it."""

    num_features = 8
    passes = 0
    fails_after = None

    def __init__(self) -> None:
        super().__init__()
        self.inner = SmallCNN(8)

    def forward(self, images: Tensor) -> Tensor:
        if Counting.fails_after is not None and Counting.passes >= Counting.fails_after:
            raise KeyboardInterrupt
        Counting.passes += 1
        return self.inner(images)


@pytest.fixture
def counting():
    torch.manual_seed(0)
    Counting.passes, Counting.fails_after = 0, None
    return Counting()


@pytest.fixture
def options(tmp_path):
    """Options that neither show anything nor look for a GPU; `cache=True` keeps features in a folder."""

    def make(cache=False, **more):
        return ExtractionOptions(**QUIET | {"cache": str(tmp_path / "cache") if cache else ""} | more)

    return make

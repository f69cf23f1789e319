"""Test images that cannot be loaded stop a run before it trains."""

import pytest

from lt_lightning.callbacks.load_test_images import LoadTestImagesFirst
from lt_lightning.data import DigitsLT
from lt_lightning.errors import UsageError


class Damaged(DigitsLT):
    def setup(self, stage):
        super().setup(stage)
        if stage == "test":
            raise UsageError("a test image is damaged")


def test_they_are_loaded_before_anything_trains(trainer, stage1_module):
    data, run = Damaged(), trainer(callbacks=[LoadTestImagesFirst()])
    with pytest.raises(UsageError, match="damaged"):
        run.fit(stage1_module(data), datamodule=data)
    assert run.global_step == 0

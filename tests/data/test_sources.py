import pytest
import torch

from lt_lightning.data.sources import ArraySource
from lt_lightning.errors import UsageError


def test_rows_come_in_the_order_asked_for():
    images = torch.arange(12, dtype=torch.uint8).view(4, 1, 1, 3)
    source = ArraySource({"train": images}, {"train": torch.tensor([0, 1, 0, 1])})
    assert source.labels("train").tolist() == [0, 1, 0, 1]
    assert torch.equal(source.images("train", torch.tensor([3, 0])), images[[3, 0]])


def test_images_and_labels_must_be_as_many():
    with pytest.raises(UsageError, match=r"`test` has 2 images and 3 labels"):
        ArraySource({"test": torch.zeros(2, 1, 1, 1)}, {"test": torch.zeros(3, dtype=torch.int64)})

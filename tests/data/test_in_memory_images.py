import torch

from lt_lightning.data.in_memory_images import InMemoryImages


def test_batches_are_gathered_in_order():
    images = InMemoryImages(torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1), torch.tensor([4, 3, 2, 1, 0]))
    batch, targets = images.__getitems__([3, 1])
    assert len(images) == 5
    assert batch.flatten().tolist() == [3, 1]
    assert targets.tolist() == [1, 3]

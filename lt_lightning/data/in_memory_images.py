"""Images that are two tensors: how :class:`lt_lightning.data.InMemoryLT` holds a split."""

import torch
from torch import Tensor

from lt_lightning.data.base import Batch


class InMemoryImages:
    """Images and classes as two tensors, read a batch at a time by one gather.

    Args:
        images: ``(N, C, H, W)``, uint8.
        targets: ``(N,)``, int64.
    """

    def __init__(self, images: Tensor, targets: Tensor) -> None:
        self.images = images
        self.targets = targets
        self.image_bytes = images[:1].nbytes

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, indices: list[int]) -> Batch:
        """Images ``(B, C, H, W)``, uint8, and their classes ``(B,)``."""
        rows = torch.tensor(indices, dtype=torch.int64)
        return self.images.index_select(0, rows), self.targets.index_select(0, rows)

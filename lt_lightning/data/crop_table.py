"""A small training set laid out so that the augmented images of a batch are one gather."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lt_lightning.data.base import Batch, LabelledImages
from lt_lightning.functional.augment import draw_coins, draw_offsets
from lt_lightning.samplers import ShardedBatchSampler

CPU_TABLE_BYTES = 2**30
"""Largest table of a training set that is made beside the set itself in a computer's memory."""

GPU_TABLE_SHARE = 0.1
"""Share of a GPU's free memory that such a table may take."""


class CropTable:
    """All crops of all images, and of their mirror images, as one view.

    The images lie with their black borders, the mirrored ones behind the others, channels last. A crop starts at one of
    the pixels, so the crops of all starts are a strided view of the table, of which a batch selects as many as it has
    images: nothing is padded, flipped or copied twice per batch.

    Args:
        images: ``(N, C, H, W)``, uint8, on any device.
        padding: Pixels of black border.
        flip: Whether half of the images drawn are mirrored.
        device: Where the table lies and batches are made.
    """

    def __init__(self, images: Tensor, padding: int, flip: bool, device: torch.device) -> None:
        self.padding = padding
        self.flip = flip
        count, channels, height, width = self.shape = images.shape
        tall, wide = height + 2 * padding, width + 2 * padding
        copies = 1 + flip
        pixels = torch.zeros(copies * count, tall, wide, channels, dtype=torch.uint8, device=device)
        inner = pixels[:, padding : padding + height, padding : padding + width]
        inner[:count] = images.to(device).permute(0, 2, 3, 1)
        if flip:
            inner[count:] = inner[:count].flip(2)
        starts = copies * count * tall * wide - (height - 1) * wide - width + 1
        self._windows = pixels.as_strided((starts, height, width * channels), (channels, wide * channels, 1))
        self._image, self._row = tall * wide, wide  # pixels from one image, and one row, to the next

    @staticmethod
    def nbytes(images: Tensor, padding: int, flip: bool) -> int:
        """What a table of ``images`` would take."""
        count, channels, height, width = images.shape
        return (1 + flip) * count * channels * (height + 2 * padding) * (width + 2 * padding)

    @staticmethod
    def fits(images: Tensor, padding: int, flip: bool, device: torch.device) -> bool:
        """Whether a table of ``images`` fits into what a device spares for it; only CPU and CUDA devices do."""
        if device.type == "cuda":
            limit = GPU_TABLE_SHARE * torch.cuda.mem_get_info(device)[0]
        else:
            limit = CPU_TABLE_BYTES if device.type == "cpu" else 0
        return CropTable.nbytes(images, padding, flip) <= limit

    def draw(self, rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """Crop and mirror some images: what ``random_crop``, then ``random_horizontal_flip`` make of them.

        The draws are the same too, so that a generator in the same state gives the same images.

        Args:
            rows: Positions of the images, ``(B,)``, int64, on the table's device.
            generator: Source of the draws, which are made on its own device; ``None`` for the default one.

        Returns:
            ``(B, C, H, W)``, uint8, channels last.
        """
        count, channels, height, width = self.shape
        top, left = draw_offsets(len(rows), self.padding, rows.device, generator)
        if self.flip:
            coins = draw_coins(len(rows), rows.device, generator)
            # The crop of an image that is mirrored afterwards starts as far from the other edge.
            left = torch.where(coins, 2 * self.padding - left, left)
            rows = rows + count * coins
        crops = self._windows.index_select(0, rows * self._image + top * self._row + left)
        return crops.view(-1, height, width, channels).permute(0, 3, 1, 2)


class RowLoader(DataLoader[Batch]):
    """Batches of positions instead of images, for ``InMemoryLT``, which gathers images from its crop table.

    An epoch's order is sent to the device once.

    Args:
        images: The training set.
        batches: This process's batches.
        device: Where positions and classes are wanted.
    """

    def __init__(self, images: LabelledImages, batches: ShardedBatchSampler, device: torch.device) -> None:
        super().__init__(images, batch_sampler=batches)  # type: ignore[arg-type]  # what Lightning looks at
        self._batches = batches
        self._device = device
        self._targets = images.targets.to(device)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        for rows in self._batches.shares(self._device):
            yield rows, self._targets.index_select(0, rows)

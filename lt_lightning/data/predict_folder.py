"""A folder of images without labels, prepared as a checkpoint's test images were."""

from collections.abc import Sequence
from functools import cached_property, partial
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS

from lt_lightning import home
from lt_lightning.data.base import Batch, LTDataModule, Split
from lt_lightning.data.file_images import PackedPaths, read_rgb, worker_processes
from lt_lightning.data.folder import images_below, passed_over
from lt_lightning.data.transforms import eval_transform
from lt_lightning.errors import UsageError
from lt_lightning.functional.augment import normalize
from lt_lightning.processes import is_first
from lt_lightning.records import PreProcessing, Record, read_record
from lt_lightning.wording import class_path

NO_TARGET = -1
"""Stands for a class that is unknown."""
UNREADABLE = -2
"""Stands for the class of an image that could not be read; its row is to be left out."""


class UnlabelledImages:
    """Images on disk without classes, read a batch at a time.

    Args:
        root: Folder that the paths are relative to.
        paths: With forward slashes.
        image: How each is prepared.
        skip_unreadable: Whether an image that cannot be read is black and has the class :data:`UNREADABLE`.
    """

    def __init__(self, root: Path, paths: Sequence[str], image: PreProcessing, skip_unreadable: bool) -> None:
        self.root = root
        self.paths = PackedPaths(paths)
        self.targets = torch.full((len(paths),), NO_TARGET)
        self.skip_unreadable = skip_unreadable
        self._mode = image.order
        self._shape = (len(image.mean), image.image_size, image.image_size)
        self.image_bytes = prod(self._shape)
        self._transform = eval_transform(image.image_size, image.resize)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitems__(self, indices: list[int]) -> Batch:
        """Images ``(B, C, H, W)``, uint8, and ``(B,)``: :data:`NO_TARGET` or :data:`UNREADABLE`."""
        targets = torch.full((len(indices),), NO_TARGET)
        images = torch.zeros(len(indices), *self._shape, dtype=torch.uint8)
        for row, index in enumerate(indices):
            image = self._prepare(self.root / self.paths[index])
            if image is None:
                targets[row] = UNREADABLE
            else:
                images[row] = image
        return images, targets

    def _prepare(self, path: Path) -> Tensor | None:
        try:
            image = read_rgb(path)
            return self._transform(image if self._mode == "RGB" else image.convert(self._mode))
        except (UsageError, MemoryError) as error:
            if self.skip_unreadable:
                return None
            reason = error.__cause__ or "it takes more memory than there is"
            raise UsageError(
                f"The image {path} cannot be read ({reason}); replace or remove it, or leave such images out with "
                f"`--data.skip_unreadable true`."
            ) from error


class PredictFolder(LTDataModule):
    """Every image below ``root``, at any depth and sorted by path, for ``predict`` alone.

    Classes, their counts and how images are prepared come from a checkpoint of this package: photographs are resized
    and cropped as ``ImageFolderLT`` does for tests; where training images were kept in memory (32×32, for instance),
    the shorter side becomes that size. Files that ``ImageFolderLT`` passes over are so here too, and counted.
    Images are taken as stored, whatever their EXIF orientation says, as torchvision does.

    Args:
        root: Folder of the images.
        checkpoint: The checkpoint that predicts; ``lt-lightning predict`` fills it in from ``--ckpt_path``.
        image_size: Side of the network's input, in pixels; the checkpoint's by default.
        mean: Mean of each channel on the scale of [0, 1]; the checkpoint's by default.
        std: Standard deviation of each channel; the checkpoint's by default.
        skip_unreadable: Whether images that cannot be read are left out, counted and named at the end, instead of
            ending the run.
        eval_batch_size: Images per batch and process.
        num_workers: Worker processes that read images, per process; never more than there are cores.

    Raises:
        UsageError: When a run starts, if there is no image, or the checkpoint does not say what is needed.
    """

    def __init__(
        self,
        root: str,
        checkpoint: str,
        image_size: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        skip_unreadable: bool = False,
        eval_batch_size: int = 256,
        num_workers: int = 4,
    ) -> None:
        super().__init__(eval_batch_size=eval_batch_size, num_workers=worker_processes(num_workers))
        self.root = home.expanded(root)
        self.checkpoint = checkpoint
        self.skip_unreadable = skip_unreadable
        self._given = partial(Record.pre_processing, image_size=image_size, mean=mean, std=std, options="data.")

    @cached_property
    def record(self) -> Record:
        """What the checkpoint says of itself; read on first use."""
        return read_record(self.checkpoint, "data.checkpoint")

    @property
    def image(self) -> PreProcessing:
        """How images are prepared."""
        return self._given(self.record)

    @property
    def class_counts(self) -> list[int]:
        """Training images per class, as the checkpoint records them."""
        return self.record.class_counts

    @property
    def class_names(self) -> list[str]:
        """Names as the checkpoint records them."""
        return self.record.class_names

    def load(self, split: Split) -> UnlabelledImages | None:
        """List the images; as the test split alone."""
        if split != "test":
            return None
        root = Path(self.root)
        if not root.is_dir():
            raise UsageError(f"`data.root` {self.root!r} is not a folder; give the folder that holds the images.")
        paths = images_below(root)
        if not paths:
            raise UsageError(f"`data.root` {self.root!r} holds no image ({', '.join(IMG_EXTENSIONS)}) at any depth.")
        others = passed_over(root)
        if others and is_first():
            print(others, flush=True)
        return UnlabelledImages(root, paths, self.image, self.skip_unreadable)

    def setup(self, stage: str) -> None:
        """Refuse whatever needs classes."""
        if stage != "predict":
            raise UsageError(
                f"`PredictFolder` knows no classes of its images, so only `predict` can use it, not `{stage}`."
            )
        super().setup(stage)

    def to_input(self, images: Tensor, training: bool, generator: torch.Generator | None) -> Tensor:  # noqa: ARG002
        """Normalise: ``(B, C, H, W)``, fp32."""
        image = self.image
        return normalize(images, image.mean, image.std)

    def describe_transform(self, training: bool) -> dict[str, Any]:  # noqa: ARG002
        """Sizes and normalisation."""
        image = self.image
        return {
            "class": class_path(self),
            "image_size": image.image_size,
            "resize": image.resize,
            "mean": image.mean,
            "std": image.std,
        }

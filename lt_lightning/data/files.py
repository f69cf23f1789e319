"""Images that stay on disk: read, cropped and stacked by worker processes, normalised on the device."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from lt_lightning import home
from lt_lightning.augmentations import Augmentation, NoAugmentation
from lt_lightning.augmentations.base import augment
from lt_lightning.data.base import Batch, LabelledImages, LTDataModule, Split
from lt_lightning.data.file_images import FileImages, FileList, SeededBatches, worker_processes
from lt_lightning.data.splits import classes_without, content_hash, file_hash, split_pool
from lt_lightning.data.transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    eval_transform,
    padded_transform,
    resized_side,
    train_transform,
)
from lt_lightning.data.unreadable import NAMED, announce, leave_out
from lt_lightning.errors import UsageError, check_makes, check_word
from lt_lightning.functional.augment import normalize, random_horizontal_flip
from lt_lightning.samplers import EpochSampler, InstanceSampler, ShardedBatchSampler
from lt_lightning.wording import class_path

# Re-exported for subclasses.
__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "FileList", "FileValFrom", "ImageFilesLT"]

FileValFrom = Literal["source", "train", "none"]
"""Where validation images come from: ``source``: the set's own validation split, if it has one; ``train``: a part of
the training images; ``none``: nowhere."""


class ImageFilesLT(LTDataModule, ABC):
    """Base of sets whose images stay on disk; a subclass lists the files of each split.

    Args:
        root: Folder of the images.
        val_from: Where validation images come from: the ``source``'s own split (none if it has none), a part of the
            ``train`` images, or ``none``.
        val_fraction: Share of the training images that ``val_from="train"`` takes.
        image_size: Side of the network's input, in pixels.
        resize: Shorter side of an image before its middle is cut out for evaluation, in pixels; by default 256/224 of
            ``image_size``, as is usual for ImageNet.
        crop_padding: Pixels of black border for random crops while training, of the middle that evaluation shows;
            ``None``, the default, crops 8 to 100 % of the area, as is usual for ImageNet.
        augmentation: Makes what changes training images besides crops and flips; nothing if ``None``, as by default.
        mean: Mean of each channel on the scale of [0, 1]; ImageNet's by default.
        std: Standard deviation of each channel; ImageNet's by default.
        skip_unreadable: Whether images that cannot be read are left out, counted and named, instead of ending the run;
            each image is decoded once for that before anything else.
        batch_size: Images per optimiser step, over all processes together.
        eval_batch_size: Images per evaluation batch and process.
        num_workers: Worker processes that read images, per process; never more than there are cores.
        sampler: Makes the training sampler from ``(targets, seed)``.
        group_thresholds: ``(low, high)``: more than ``high`` training images is "many", fewer than ``low`` "few".

    Raises:
        UsageError: If a value is out of range or unknown.
    """

    def __init__(
        self,
        root: str = "data",
        val_from: FileValFrom = "source",
        val_fraction: float = 0.1,
        image_size: int = 224,
        resize: int | None = None,
        crop_padding: int | None = None,
        augmentation: Callable[[], Augmentation] | None = NoAugmentation,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        skip_unreadable: bool = False,
        batch_size: int = 128,
        eval_batch_size: int = 256,
        num_workers: int = 4,
        sampler: Callable[[Tensor, int], EpochSampler] = InstanceSampler,
        group_thresholds: tuple[int, int] = (20, 100),
    ) -> None:
        super().__init__(batch_size, eval_batch_size, worker_processes(num_workers), sampler, group_thresholds)
        check_word("data.val_from", val_from, FileValFrom)
        if image_size < 1:
            raise UsageError(f"`data.image_size` must be at least 1, but got {image_size}.")
        if resize is not None and resize < image_size:
            raise UsageError(
                f"`data.resize` must be at least `data.image_size`, {image_size}, which is cut out of it, but got "
                f"{resize}."
            )
        if crop_padding is not None and crop_padding < 0:
            raise UsageError(f"`data.crop_padding` must be at least 0, but got {crop_padding}.")
        check_makes("data.augmentation", augmentation, Augmentation)
        self.root = home.expanded(root)
        self.val_from: FileValFrom = val_from
        self.val_fraction = val_fraction
        self.image_size = image_size
        self.resize = resized_side(image_size) if resize is None else resize
        self.crop_padding = crop_padding
        self.augmentation = NoAugmentation() if augmentation is None else augmentation()
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.skip_unreadable = skip_unreadable
        self._left_out: dict[Split, list[str]] = {}

    # -- what a subclass provides ------------------------------------------------------------------------------------

    @abstractmethod
    def list_files(self, split: Split) -> FileList | None:
        """The files of a split as the source has it; ``None`` where it has no such split.

        Raises:
            UsageError: If the folder or the list is not as it should be.
        """

    # -- the contract ------------------------------------------------------------------------------------------------

    @property
    def class_counts(self) -> list[int]:
        """Training images per class, counted in the list."""
        return self.train_files().counts(len(self.class_names))

    def load(self, split: Split) -> FileImages | None:
        """Look up a split's files on disk, so that a missing one stops the run before it trains."""
        files = self._files_of(split)
        if files is None:
            return None
        self._hashes[split] = file_hash(zip(files.paths, self._sizes(files), strict=True))
        self._content[split] = content_hash(Path(self.root), files.paths)
        transform = self._train_transform() if split == "train" else self._eval_transform()
        return FileImages(Path(self.root), files, transform, 3 * self.image_size**2)

    def to_input(self, images: Tensor, training: bool, generator: torch.Generator | None) -> Tensor:
        """Mirror and augment (while training), then normalise; workers have cropped already: ``(B, 3, H, W)``, fp32."""
        if training:
            images = augment(self.augmentation, random_horizontal_flip(images, generator), generator)
        return normalize(images, self.mean, self.std)

    def undistorted(self, name: Split) -> FileImages | None:
        """One split's images, resized and cropped in the middle, also those that train."""
        images = cast(FileImages | None, self.split(name))
        if images is None:
            return None
        files = FileList(images.paths, images.targets)
        return FileImages(images.root, files, self._eval_transform(), 3 * self.image_size**2)

    def fingerprint(self, name: Split) -> str:
        """SHA-256 over the files' paths, sizes and times of change, in order."""
        images = cast(FileImages | None, self.split(name))
        digest = hashlib.sha256()
        for path in images.paths if images is not None else []:
            found = (Path(self.root) / path).stat()
            digest.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def describe_transform(self, training: bool) -> dict[str, Any]:
        """Size, normalisation and, while training, augmentation; a subclass with transforms of its own adds to it."""
        described: dict[str, Any] = {
            "class": class_path(self),
            "image_size": self.image_size,
            "resize": self.resize,
            "mean": self.mean,
            "std": self.std,
        }
        if not training:
            return described
        drawn = {} if self.crop_padding is None else {"crop_padding": self.crop_padding}
        return described | drawn | {"augmentation": self.augmentation.describe()}

    def describe_split(self) -> dict[str, Any]:
        """Sizes and, of the splits loaded so far, hashes over the files' paths and sizes and some files' content."""
        counts = self.class_counts
        val = self._splits.get("val")
        return {
            "dataset": Path(self.root).resolve().name,
            "profile": "as found",
            "imbalance_ratio": None,
            "real_imbalance_ratio": max(counts) / min(counts),
            "subset": None,
            "val_from": self.val_from,
            "val_per_class": None,
            "val_fraction": self.val_fraction if self.val_from == "train" else None,
            "sizes": super().describe_split(),
            "hashes": dict(self._hashes),
            "hash_of": "paths and sizes of files",
            "content": dict(self._content),
            "left_out": {
                name: {"images": len(paths), "first": paths[:NAMED]} for name, paths in self._left_out.items()
            },
            "classes_without_validation": [] if val is None else classes_without(val.targets, len(counts)),
        }

    def with_held_out(self) -> LTDataModule:
        """These data with the images that ``val_from="train"`` holds out back among those that train."""
        return self._recut(val_from="none") if self.val_from == "train" else self

    def _forget(self) -> None:
        super()._forget()
        self._train: FileList | None = None
        self._held_out: FileList | None = None
        self._hashes: dict[Split, str] = {}
        self._content: dict[Split, str] = {}

    def _loader(self, images: LabelledImages, batches: Sampler[list[int]], size: int) -> DataLoader[Batch]:
        seeded = SeededBatches(batches) if isinstance(batches, ShardedBatchSampler) else batches
        return super()._loader(images, seeded, size)

    def train_files(self) -> FileList:
        """Training files, those without the ones that ``val_from="train"`` takes; listed once."""
        if self._train is None:
            files = self._readable("train")
            if files is None:
                raise UsageError(f"`{type(self).__name__}` has no training images in `root` {self.root}.")
            if self.val_from == "train":
                # Drawn with a fixed seed, not the last of the list: neighbouring files often show the same scene.
                counts = files.counts(len(self.class_names))
                chosen = split_pool(files.targets, counts, "train", val_fraction=self.val_fraction, subset=0)
                self._held_out = files.rows(chosen.val) if len(chosen.val) else None
                files = files.rows(chosen.train)
            self._train = files
        return self._train

    def _files_of(self, split: Split) -> FileList | None:
        if split == "test" or (split == "val" and self.val_from == "source"):
            return self._readable(split)
        train = self.train_files()
        return train if split == "train" else self._held_out

    def _train_transform(self) -> Callable[[Image.Image], Tensor]:
        if self.crop_padding is None:
            return train_transform(self.image_size)
        return padded_transform(self.image_size, self.resize, self.crop_padding)

    def _eval_transform(self) -> Callable[[Image.Image], Tensor]:
        return eval_transform(self.image_size, self.resize)

    def _readable(self, split: Split) -> FileList | None:
        """A split's files as listed, or those of them that can be read."""
        files = self.list_files(split)
        if files is None or not self.skip_unreadable:
            return files
        readable, left_out = leave_out(self.root, split, files, self.class_names)
        if left_out:
            if split not in self._left_out:
                announce(split, left_out, of=len(files.paths))
            self._left_out[split] = left_out
        return readable

    def _sizes(self, files: FileList) -> list[int]:
        root = Path(self.root)
        try:
            return [(root / path).stat().st_size for path in files.paths]
        except OSError as error:
            raise UsageError(
                f"The image {error.filename} is listed but cannot be found; check `root` {self.root}."
            ) from error

"""Images that stay on disk: read, cropped and stacked by worker processes, normalised on the device."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from lt_lightning.data.base import Batch, LabelledImages, LTDataModule, Split
from lt_lightning.data.in_memory import classes_without
from lt_lightning.data.splits import file_hash, split_pool
from lt_lightning.errors import UsageError
from lt_lightning.functional.augment import normalize
from lt_lightning.samplers import EpochSampler, InstanceSampler, ShardedBatchSampler
from lt_lightning.seeds import run_seed, seed_from

FileValFrom = Literal["source", "train", "none"]
"""Where validation images come from: ``source``: the set's own validation split, if it has one; ``train``: a part of
the training images; ``none``: nowhere."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class FileList:
    """The images of one split, none of them read.

    Attributes:
        paths: Paths relative to the data folder, with forward slashes.
        targets: Class of each, ``(N,)``, int64.
    """

    paths: list[str]
    targets: Tensor

    def rows(self, indices: Tensor) -> "FileList":
        """The entries at ``indices``."""
        return FileList([self.paths[i] for i in indices.tolist()], self.targets[indices])


class SeededBatch(list[int]):
    """Indices of a training batch, with the seed from which its images are cropped, flipped and jittered."""

    seed: int

    def __init__(self, indices: Sequence[int], seed: int) -> None:
        super().__init__(indices)
        self.seed = seed


class SeededBatches(Sampler[list[int]]):
    """Gives each batch a seed made of (run, epoch, step, process).

    So what an epoch shows depends neither on the number of workers nor on whether the run was interrupted.

    Args:
        batches: The batches of this process.
    """

    def __init__(self, batches: ShardedBatchSampler) -> None:
        self.batches = batches
        self.sampler = batches.sampler  # where Lightning looks for `set_epoch`

    def __iter__(self) -> Iterator[list[int]]:
        first = self.batches.skip_batches
        for step, indices in enumerate(self.batches, start=first):
            yield SeededBatch(indices, seed_from(run_seed(), self.sampler.epoch, step, self.batches.rank))

    def __len__(self) -> int:
        return len(self.batches)


class FileImages:
    """Images on disk, read a batch at a time.

    Args:
        root: Folder that the paths are relative to.
        files: Paths and classes.
        transform: Makes a ``(3, H, W)`` uint8 tensor from an RGB image; its random draws come from torch's generator.
    """

    def __init__(self, root: Path, files: FileList, transform: Callable[[Image.Image], Tensor]) -> None:
        self.root = root
        self.paths = files.paths
        self.targets = files.targets
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitems__(self, indices: list[int]) -> Batch:
        """Images ``(B, 3, H, W)``, uint8, and their classes ``(B,)``."""
        if not isinstance(indices, SeededBatch):
            return self._read(indices)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(indices.seed)
            return self._read(indices)

    def _read(self, indices: list[int]) -> Batch:
        images = [self.transform(read_rgb(self.root / self.paths[i])) for i in indices]
        return torch.stack(images), self.targets[torch.tensor(indices, dtype=torch.int64)]


def read_rgb(path: Path) -> Image.Image:
    """Read an image of any mode as RGB.

    Raises:
        UsageError: If the file is missing, damaged or not an image.
    """
    try:
        with Image.open(path) as opened:
            image: Image.Image = opened
            # A transparent palette goes through RGBA: Pillow warns about the direct way.
            via = image.convert("RGBA") if image.mode == "P" and "transparency" in image.info else image
            return via.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # (Pillow reports a damaged PNG as a SyntaxError.)
        raise UsageError(f"The image {path} cannot be read ({error}); replace it or take it off the list.") from error


def train_transform(image_size: int, color_jitter: float) -> Callable[[Image.Image], Tensor]:
    """Random crop of 8 to 100 % of the area, mirror, optional jitter of brightness, contrast and saturation."""
    from torchvision.transforms import v2  # here, because sets in memory do without

    jitter = [v2.ColorJitter(color_jitter, color_jitter, color_jitter)] if color_jitter else []
    steps = [v2.RandomResizedCrop(image_size), v2.RandomHorizontalFlip(), *jitter, v2.PILToTensor()]
    transform: Callable[[Image.Image], Tensor] = v2.Compose(steps)
    return transform


def eval_transform(image_size: int, resize: int | None = None) -> Callable[[Image.Image], Tensor]:
    """Shorter side to ``resize``, by default 256/224 of ``image_size``, then the middle."""
    shorter = resized_side(image_size) if resize is None else resize
    from torchvision.transforms import v2

    steps = [v2.Resize(shorter), v2.CenterCrop(image_size), v2.PILToTensor()]
    transform: Callable[[Image.Image], Tensor] = v2.Compose(steps)
    return transform


def resized_side(image_size: int) -> int:
    """Shorter side of an image before its middle of ``image_size`` is cut out: ImageNet's custom, 256 for 224."""
    return round(image_size * 256 / 224)


class ImageFilesLT(LTDataModule, ABC):
    """Base of sets whose images stay on disk; a subclass lists the files of each split.

    Args:
        root: Folder of the images.
        val_from: Where validation images come from: the ``source``'s own split (none if it has none), a part of the
            ``train`` images, or ``none``.
        val_fraction: Share of the training images that ``val_from="train"`` takes.
        image_size: Side of the network's input, in pixels.
        color_jitter: Strength of brightness, contrast and saturation jitter while training; 0 for none.
        mean: Mean of each channel on the scale of [0, 1]; ImageNet's by default.
        std: Standard deviation of each channel; ImageNet's by default.
        batch_size: Images per optimiser step, over all processes together.
        eval_batch_size: Images per evaluation batch and process.
        num_workers: Worker processes that read images, per process.
        sampler: Makes the training sampler from ``(targets, seed)``.
        group_thresholds: ``(low, high)``: more than ``high`` training images is "many", fewer than ``low`` "few".

    Raises:
        UsageError: If a value is out of range.
    """

    def __init__(
        self,
        root: str,
        val_from: FileValFrom = "source",
        val_fraction: float = 0.1,
        image_size: int = 224,
        color_jitter: float = 0.0,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        batch_size: int = 128,
        eval_batch_size: int = 256,
        num_workers: int = 4,
        sampler: Callable[[Tensor, int], EpochSampler] = InstanceSampler,
        group_thresholds: tuple[int, int] = (20, 100),
    ) -> None:
        super().__init__(batch_size, eval_batch_size, num_workers, sampler, group_thresholds)
        if image_size < 1:
            raise UsageError(f"`data.image_size` must be at least 1, but got {image_size}.")
        if color_jitter < 0:
            raise UsageError(f"`data.color_jitter` must be at least 0, but got {color_jitter}.")
        self.root = root
        self.val_from: FileValFrom = val_from
        self.val_fraction = val_fraction
        self.image_size = image_size
        self.color_jitter = color_jitter
        self.mean = tuple(mean)
        self.std = tuple(std)
        self._train: FileList | None = None
        self._held_out: FileList | None = None
        self._hashes: dict[Split, str] = {}

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
        return self._counts(self.train_files())

    def load(self, split: Split) -> FileImages | None:
        """Look up a split's files on disk, so that a missing one stops the run before it trains."""
        files = self._files(split)
        if files is None:
            return None
        self._hashes[split] = file_hash(zip(files.paths, self._sizes(files), strict=True))
        transform = (
            train_transform(self.image_size, self.color_jitter) if split == "train" else eval_transform(self.image_size)
        )
        return FileImages(Path(self.root), files, transform)

    def to_input(self, images: Tensor, training: bool, generator: torch.Generator | None) -> Tensor:  # noqa: ARG002
        """Normalise; workers have cropped already: ``(B, 3, H, W)``, fp32."""
        return normalize(images, self.mean, self.std)

    def undistorted(self, name: Split) -> FileImages | None:
        """One split's images, resized and cropped in the middle, also those that train."""
        images = cast(FileImages | None, self.split(name))
        if images is None:
            return None
        return FileImages(images.root, FileList(images.paths, images.targets), eval_transform(self.image_size))

    def fingerprint(self, name: Split) -> str:
        """SHA-256 over the files' paths, sizes and times of change, in order."""
        images = cast(FileImages | None, self.split(name))
        digest = hashlib.sha256()
        for path in images.paths if images is not None else []:
            found = (Path(self.root) / path).stat()
            digest.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def describe_transform(self, training: bool) -> dict[str, Any]:
        """Size, normalisation and, while training, jitter; a subclass with transforms of its own adds to it."""
        described: dict[str, Any] = {
            "class": f"{type(self).__module__}.{type(self).__qualname__}",
            "image_size": self.image_size,
            "resize": resized_side(self.image_size),
            "mean": self.mean,
            "std": self.std,
        }
        return described | ({"color_jitter": self.color_jitter} if training else {})

    def describe_split(self) -> dict[str, Any]:
        """Sizes and, of the splits loaded so far, hashes over the files' paths and sizes."""
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
            "classes_without_validation": [] if val is None else classes_without(val.targets, len(counts)),
        }

    def with_held_out(self) -> "ImageFilesLT":
        """These data with what ``val_from="train"`` has taken out of the training images put back."""
        if self.val_from != "train":
            return self
        whole = copy(self)
        whole.val_from, whole._train, whole._held_out = "none", None, None
        whole._splits, whole._hashes, whole.train_sampler = {}, {}, None
        return whole

    def _loader(self, images: LabelledImages, batches: Sampler[list[int]]) -> DataLoader[Batch]:
        return super()._loader(images, SeededBatches(batches) if isinstance(batches, ShardedBatchSampler) else batches)

    def train_files(self) -> FileList:
        """Training files, those without the ones that ``val_from="train"`` takes; listed once."""
        if self._train is None:
            files = self.list_files("train")
            if files is None:
                raise UsageError(f"`{type(self).__name__}` has no training images in `root` {self.root}.")
            if self.val_from == "train":
                # Drawn with a fixed seed, not the last of the list: neighbouring files often show the same scene.
                chosen = split_pool(
                    files.targets, self._counts(files), "train", val_fraction=self.val_fraction, subset=0
                )
                self._held_out = files.rows(chosen.val) if len(chosen.val) else None
                files = files.rows(chosen.train)
            self._train = files
        return self._train

    def _files(self, split: Split) -> FileList | None:
        if split == "test" or (split == "val" and self.val_from == "source"):
            return self.list_files(split)
        train = self.train_files()
        return train if split == "train" else self._held_out

    def _counts(self, files: FileList) -> list[int]:
        return [int(n) for n in torch.bincount(files.targets, minlength=len(self.class_names))]

    def _sizes(self, files: FileList) -> list[int]:
        root = Path(self.root)
        try:
            return [(root / path).stat().st_size for path in files.paths]
        except OSError as error:
            raise UsageError(
                f"The image {error.filename} is listed but cannot be found; check `root` {self.root}."
            ) from error

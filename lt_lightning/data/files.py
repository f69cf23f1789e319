"""Images that stay on disk: read, cropped and stacked by worker processes, normalised on the device."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from lt_lightning.augmentations import Augmentation, NoAugmentation
from lt_lightning.data.base import Batch, LabelledImages, LTDataModule, Split
from lt_lightning.data.in_memory import classes_without
from lt_lightning.data.splits import file_hash, split_pool
from lt_lightning.data.unreadable import find_unreadable
from lt_lightning.errors import UsageError
from lt_lightning.functional.augment import normalize, random_horizontal_flip
from lt_lightning.samplers import EpochSampler, InstanceSampler, ShardedBatchSampler
from lt_lightning.seeds import run_seed, seed_from

FileValFrom = Literal["source", "train", "none"]
"""Where validation images come from: ``source``: the set's own validation split, if it has one; ``train``: a part of
the training images; ``none``: nowhere."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_NAMED = 5  # of the images that are left out


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
        raise UsageError(
            f"The image {path} cannot be read ({error}); replace it, take it off the list, or leave such images out "
            f"with `data.skip_unreadable`."
        ) from error


def train_transform(image_size: int) -> Callable[[Image.Image], Tensor]:
    """Random crop of 8 to 100 % of the area; what else training images go through is done to whole batches."""
    from torchvision.transforms import v2  # here, because sets in memory do without

    steps = [v2.RandomResizedCrop(image_size), v2.PILToTensor()]
    transform: Callable[[Image.Image], Tensor] = v2.Compose(steps)
    return transform


def eval_transform(image_size: int, resize: int | None = None) -> Callable[[Image.Image], Tensor]:
    """Shorter side to ``resize``, by default 256/224 of ``image_size``, then the middle."""
    shorter = resized_side(image_size) if resize is None else resize
    from torchvision.transforms import v2

    steps = [v2.Resize(shorter), v2.CenterCrop(image_size), v2.PILToTensor()]
    transform: Callable[[Image.Image], Tensor] = v2.Compose(steps)
    return transform


def worker_processes(wanted: int) -> int:
    """As many as wanted, but no more than this process has cores, for torch warns of more."""
    affinity = getattr(os, "sched_getaffinity", None)  # not everywhere
    return min(wanted, len(affinity(0)) if affinity else os.cpu_count() or 1)


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
        resize: Shorter side of an image before its middle is cut out for evaluation, in pixels; by default 256/224 of
            ``image_size``, as is usual for ImageNet.
        augmentation: Makes what changes training images besides crops and mirroring; by default nothing does.
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
        UsageError: If a value is out of range.
    """

    def __init__(
        self,
        root: str,
        val_from: FileValFrom = "source",
        val_fraction: float = 0.1,
        image_size: int = 224,
        resize: int | None = None,
        augmentation: Callable[[], Augmentation] = NoAugmentation,
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
        if image_size < 1:
            raise UsageError(f"`data.image_size` must be at least 1, but got {image_size}.")
        if resize is not None and resize < image_size:
            raise UsageError(
                f"`data.resize` must be at least `data.image_size`, {image_size}, which is cut out of it, but got "
                f"{resize}."
            )
        self.root = root
        self.val_from: FileValFrom = val_from
        self.val_fraction = val_fraction
        self.image_size = image_size
        self.resize = resized_side(image_size) if resize is None else resize
        self.augmentation = augmentation()
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.skip_unreadable = skip_unreadable
        self._train: FileList | None = None
        self._held_out: FileList | None = None
        self._hashes: dict[Split, str] = {}
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
        return self._counts(self.train_files())

    def load(self, split: Split) -> FileImages | None:
        """Look up a split's files on disk, so that a missing one stops the run before it trains."""
        files = self._files(split)
        if files is None:
            return None
        self._hashes[split] = file_hash(zip(files.paths, self._sizes(files), strict=True))
        training = split == "train"
        transform = train_transform(self.image_size) if training else self._eval_transform()
        return FileImages(Path(self.root), files, transform)

    def to_input(self, images: Tensor, training: bool, generator: torch.Generator | None) -> Tensor:
        """Mirror and augment (while training), then normalise; workers have cropped already: ``(B, 3, H, W)``, fp32."""
        if training:
            images = self.augmentation(random_horizontal_flip(images, generator), generator)
        return normalize(images, self.mean, self.std)

    def undistorted(self, name: Split) -> FileImages | None:
        """One split's images, resized and cropped in the middle, also those that train."""
        images = cast(FileImages | None, self.split(name))
        if images is None:
            return None
        return FileImages(images.root, FileList(images.paths, images.targets), self._eval_transform())

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
            "class": f"{type(self).__module__}.{type(self).__qualname__}",
            "image_size": self.image_size,
            "resize": self.resize,
            "mean": self.mean,
            "std": self.std,
        }
        return described | ({"augmentation": self.augmentation.describe()} if training else {})

    def describe_split(self) -> dict[str, Any]:
        """Sizes and, of the splits loaded so far, hashes over the files' paths and sizes."""
        counts = self.class_counts
        val = self._splits.get("val")
        left_out = self._left_out
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
            "left_out": {name: {"images": len(paths), "first": paths[:_NAMED]} for name, paths in left_out.items()},
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
            files = self._listed("train")
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
            return self._listed(split)
        train = self.train_files()
        return train if split == "train" else self._held_out

    def _eval_transform(self) -> Callable[[Image.Image], Tensor]:
        return eval_transform(self.image_size, self.resize)

    def _listed(self, split: Split) -> FileList | None:
        """A split's files as listed, or those of them that can be read."""
        files = self.list_files(split)
        if files is None or not self.skip_unreadable:
            return files
        unreadable = find_unreadable(Path(self.root), files.paths, read_rgb, f"decoding images of {split}")
        if not unreadable:
            return files
        left = files.rows(torch.tensor([i for i, path in enumerate(files.paths) if path not in unreadable]).long())
        self._check_left(split, files, left)
        out = [path for path in files.paths if path in unreadable]
        if split not in self._left_out and not rank_zero_only.rank:  # type: ignore[attr-defined]
            more = f" and {len(out) - _NAMED} more" if len(out) > _NAMED else ""
            print(
                f"{len(out)} of {len(files.paths)} {split} images cannot be read and are left out: "
                f"{', '.join(out[:_NAMED])}{more}",
                flush=True,
            )
        self._left_out[split] = out
        return left

    def _check_left(self, split: Split, files: FileList, left: FileList) -> None:
        before, after = self._counts(files), self._counts(left)
        lost = [label for label, (had, has) in enumerate(zip(before, after, strict=True)) if had and not has]
        if lost and split == "train":
            label = lost[0]
            path = files.paths[files.targets.tolist().index(label)]
            raise UsageError(
                f"None of the {before[label]} training images of class {self.class_names[label]!r} can be read, {path} "
                f"for one; replace them, remove the class, or check `data.root` {self.root!r}."
            )
        if not left.paths:
            raise UsageError(
                f"None of the {len(files.paths)} {split} images can be read, {files.paths[0]} for one; replace them, "
                f"or check `data.root` {self.root!r}."
            )

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

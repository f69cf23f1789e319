"""Long-tailed images named by list files, as published for ImageNet-LT, Places-LT and iNaturalist 2018."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from lt_lightning import home
from lt_lightning.augmentations import Augmentation, NoAugmentation
from lt_lightning.data.base import Split
from lt_lightning.data.file_images import FileList
from lt_lightning.data.files import FileValFrom, ImageFilesLT
from lt_lightning.data.transforms import IMAGENET_MEAN, IMAGENET_STD
from lt_lightning.errors import UsageError
from lt_lightning.samplers import EpochSampler, InstanceSampler


class ImageListLT(ImageFilesLT):
    """Images below ``root`` that list files name, a line ``path label`` each (Liu et al. 2019).

    The number of classes is that of ``class_names``, or the largest training label plus one. Labels stay as they are:
    they need not be sorted by the classes' sizes. Images are taken as stored, whatever their EXIF orientation says, as
    torchvision does.

    Args:
        root: Folder that the paths in the lists are relative to.
        train_list: File of training images; a path as it stands, or relative to ``root``.
        val_list: File of validation images, likewise.
        test_list: File of test images, likewise.
        class_names: Name of each class, or a text file with one in each line, found as the lists are; the classes'
            numbers by default.
        val_from: Where validation images come from: ``source`` is ``val_list`` (none without it), ``train`` a part of
            the training images, ``none`` nowhere.
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
        num_workers: Worker processes that read images, per process; never more than there are cores. Figures do not
            depend on it.
        sampler: Makes the training sampler from ``(targets, seed)``.
        group_thresholds: ``(low, high)``: more than ``high`` training images is "many", fewer than ``low`` "few".
    """

    def __init__(
        self,
        root: str,
        train_list: str,
        val_list: str | None = None,
        test_list: str | None = None,
        class_names: list[str] | str | None = None,
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
        super().__init__(
            root=root,
            val_from=val_from,
            val_fraction=val_fraction,
            image_size=image_size,
            resize=resize,
            crop_padding=crop_padding,
            augmentation=augmentation,
            mean=mean,
            std=std,
            skip_unreadable=skip_unreadable,
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            sampler=sampler,
            group_thresholds=group_thresholds,
        )
        self.list_paths: dict[Split, str | None] = {"train": train_list, "val": val_list, "test": test_list}
        self._names_or_file = class_names

    @property
    def class_names(self) -> list[str]:
        """The names given, or the classes' numbers."""
        if self._given_names is not None:
            return self._given_names
        return [str(label) for label in range(int(self._training.targets.max()) + 1)]

    def remedy_for(self, name: Split) -> str:
        """Name its list."""
        return f"give `data.{name}_list`"

    def list_files(self, split: Split) -> FileList | None:
        """Read a split's list."""
        if split == "train":
            return self._training
        name = self.list_paths[split]
        return None if name is None else _read_list(self._find(name, f"{split}_list"), len(self.class_names))

    @cached_property
    def _given_names(self) -> list[str] | None:
        """The names, from their file if they are in one."""
        if not isinstance(self._names_or_file, str | Path):
            return self._names_or_file
        path = self._find(str(self._names_or_file), "class_names")
        return [name for _, name in _lines(path, "a line with its name is expected for each class")]

    @cached_property
    def _training(self) -> FileList:
        """The training list, read once: it may be what says how many classes there are."""
        path = self._find(str(self.list_paths["train"]), "train_list")
        named = None if self._given_names is None else len(self._given_names)
        files = _read_list(path, named)
        num_classes = named or int(files.targets.max()) + 1
        if num_classes == 1:
            raise UsageError(
                f"{path} has the class 0 alone, and nothing can be told apart from it; list images of other classes."
            )
        present = torch.unique(files.targets)  # sorted; of few images, a label of thirteen digits takes no memory
        gaps = torch.nonzero(present != torch.arange(len(present))).flatten()
        empty = int(gaps[0]) if len(gaps) else len(present)
        if empty < num_classes:
            raise UsageError(
                f"{path} has no training image of class {empty} of {num_classes}; every class needs one, so "
                f"number the classes without gaps."
            )
        return files

    def _find(self, name: str, option: str) -> Path:
        for path in (Path(home.expanded(name)), Path(self.root) / name):
            if path.is_file():
                return path
        raise UsageError(f"`{option}` {name} is not a file, and neither is {Path(self.root) / name}.")


def _read_list(path: Path, num_classes: int | None) -> FileList:
    """Entries of a list file; labels are checked where ``num_classes`` is known."""
    paths: list[str] = []
    targets: list[int] = []
    for number, line in _lines(path, "a line `path label` is expected for each image"):
        image, label = ["", *line.rsplit(None, 1)][-2:]
        # int() alone would take "-1" and "1_0" too; a longer number is none of a class, and may not fit an int64.
        if not (image and label.isdecimal() and len(label) < 16):
            raise UsageError(
                f"{path}, line {number}, reads {line!r}, but a path and a class number of at least 0 are "
                f"expected, with a space between."
            )
        if num_classes is not None and int(label) >= num_classes:
            raise UsageError(
                f"{path}, line {number}, has the label {label}, but the {num_classes} classes are numbered 0 to "
                f"{num_classes - 1}; correct it or give as many `class_names`."
            )
        paths.append(image.strip())
        targets.append(int(label))
    return FileList(paths, torch.tensor(targets))


def _lines(path: Path, expected: str) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors on Windows put a mark in front
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text in UTF-8 ({error}); save it as that.") from error
    found = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not found:
        raise UsageError(f"{path} is empty; {expected}.")
    return found

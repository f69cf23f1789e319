"""Long-tailed images as folders, one per class."""

import mimetypes
import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torchvision.datasets.folder import IMG_EXTENSIONS

from lt_lightning.data.base import Split
from lt_lightning.data.file_images import FileList
from lt_lightning.data.files import ImageFilesLT
from lt_lightning.errors import UsageError
from lt_lightning.wording import first_few


class ImageFolderLT(ImageFilesLT):
    """``root/train/<class>/…`` and, where there are any, ``root/val/<class>/…`` and ``root/test/<class>/…``.

    Classes are numbered by their names in sorted order, as torchvision's ``ImageFolder`` does. The tail is what is
    found. Names that start with a dot are passed over, and so are files whose names end otherwise than torchvision's
    ``IMG_EXTENSIONS``: ``.gif`` or ``.heic``, for instance. Images beside the class folders are warned of. Images are
    taken as stored, whatever their EXIF orientation says, as torchvision does.

    Args:
        root: Folder that holds ``train``, and ``val`` and ``test`` where there are any.
        val_from: Where validation images come from: ``source`` is ``root/val`` (none if it is not there), ``train`` a
            part of the training images, ``none`` nowhere.
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

    @cached_property
    def class_names(self) -> list[str]:
        """Names of the folders below ``root/train``."""
        folder = Path(self.root) / "train"
        if not folder.is_dir():
            advice = self.remedy_for("train")
            if Path(self.root).name in ("train", "val", "test"):
                advice = f"give the folder above it, {Path(self.root).parent}, if that has one"
            raise UsageError(f"`root` {self.root} has no folder train; {advice}.")
        names = _subfolders(folder)
        if not names:
            raise UsageError(f"{folder} has no class folders; put the images into {folder}/<class>/.")
        if len(names) == 1:
            raise UsageError(
                f"{folder} has one class folder alone, {names[0]}, and nothing can be told apart from it; "
                f"put the images of each class into {folder}/<class>/, and not a level below."
            )
        return names

    def remedy_for(self, name: Split) -> str:
        """Fill its folder."""
        return f"put the images into {Path(self.root) / name}/<class>/"

    def list_files(self, split: Split) -> FileList | None:
        """List ``root/<split>``, class by class, sorted by path."""
        labels = {name: label for label, name in enumerate(self.class_names)}
        folder = Path(self.root) / split
        if not folder.is_dir():
            return None
        found = _subfolders(folder)
        _warn_of_unsorted(folder)
        unknown = sorted(set(found) - set(labels))
        if unknown:
            raise _unknown_class(unknown[0], folder, self.class_names, Path(self.root) / "train")
        paths, targets = [], []
        for name in found:
            members = images_below(folder / name)
            if not members:
                raise UsageError(
                    f"The class folder {folder / name} holds no image ({', '.join(IMG_EXTENSIONS)}); remove it or fill "
                    f"it."
                )
            paths += [f"{split}/{name}/{member}" for member in members]
            targets += [labels[name]] * len(members)
        if not paths:
            raise UsageError(f"{folder} has no class folders; put the images into {folder}/<class>/ or remove it.")
        return FileList(paths, torch.tensor(targets))


def _unknown_class(name: str, folder: Path, known: Sequence[str], train: Path) -> UsageError:
    form = unicodedata.normalize("NFC", name)
    alike = next((other for other in known if unicodedata.normalize("NFC", other) == form), None)
    if alike is None:
        return UsageError(f"{folder} has the class folder {name}, which {train} has not; use the same names in both.")
    return UsageError(
        f"{folder} has the class folder {name}, which {train} has in another Unicode form of the same letters "
        f"({name!a} and {alike!a}), as names copied from macOS are; rename it to the very name in {train}."
    )


def _subfolders(folder: Path) -> list[str]:
    entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    for entry in entries:
        # A class whose disk is not mounted must not vanish: those behind it would get its number, and so on.
        path = folder / entry.name
        of_a_file = mimetypes.guess_type(entry.name)[0] is not None
        if entry.is_symlink() and not of_a_file and not path.exists():
            raise UsageError(
                f"{path} is a link to {str(path.readlink())!r}, which leads nowhere; restore what it stands for, or "
                f"remove it."
            )
    return _in_utf8(sorted(entry.name for entry in entries if entry.is_dir()), folder)


def _warn_of_unsorted(folder: Path) -> None:
    """Warn, in the first process, of images beside the class folders."""
    beside = [entry.name for entry in os.scandir(folder) if entry.is_file() and not entry.name.startswith(".")]
    images = sorted(name for name in beside if name.lower().endswith(IMG_EXTENSIONS))
    if images:
        number = "1 image lies" if len(images) == 1 else f"{len(images):,} images lie"
        rank_zero_warn(
            f"{number} in {folder} itself, such as {images[0]!a}, and are left out, being of no class; move them into "
            f"{folder}/<class>/."
        )


def images_below(folder: Path) -> list[str]:
    """Images at any depth, relative to ``folder``, with forward slashes.

    Links are followed, but for those that lead back to a folder they lie in. Names that start with a dot are passed
    over, those of folders too.

    Raises:
        UsageError: If a name is not UTF-8, which no file of results could hold.
        OSError: If a folder cannot be read.
    """
    return _in_utf8(sorted(name for name in _files_below(folder) if name.lower().endswith(IMG_EXTENSIONS)), folder)


def passed_over(*folders: Path) -> str:
    """A sentence on files that :func:`images_below` takes for no images; empty where there are none.

    Args:
        folders: Any that do not exist are ignored.

    Raises:
        OSError: If a folder cannot be read.
    """
    endings = Counter(
        Path(name).suffix.lower() or "no ending"
        for folder in folders
        if folder.is_dir()
        for name in _files_below(folder)
        if not name.lower().endswith(IMG_EXTENSIONS)
    )
    if not endings:
        return ""
    number = endings.total()
    ordered = sorted(endings.items(), key=lambda found: (-found[1], found[0]))
    kinds = first_few([f"{ending} ({count})" for ending, count in ordered], most=3)
    files = "1 file is" if number == 1 else f"{number:,} files are"
    return f"{files} passed over, not being named as images are: {kinds}; convert what is an image."


def _files_below(folder: Path) -> list[str]:
    """Files at any depth, but for those whose names start with a dot, relative to ``folder``, in no order."""
    members = []
    # For each folder still to come: the real paths of the folders that it lies in, then its own.
    above: dict[Path, tuple[Path, ...]] = {folder: (folder.resolve(),)}
    for name_of_place, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        place = Path(name_of_place)
        here = above.pop(place)
        real = {name: _real(place / name, here[-1]) for name in folders if not name.startswith(".")}
        folders[:] = [name for name, path in real.items() if path not in here]
        above |= {place / name: (*here, real[name]) for name in folders}
        below = place.relative_to(folder)
        members += [(below / name).as_posix() for name in names if not name.startswith(".")]
    return members


def _refuse(error: OSError) -> NoReturn:
    raise error  # which os.walk would pass over, and the folder with it


def _real(path: Path, real_parent: Path) -> Path:
    return path.resolve() if path.is_symlink() else real_parent / path.name


def _in_utf8(names: list[str], folder: Path) -> list[str]:
    for name in names:
        if name.encode(errors="replace").decode() != name:
            raise UsageError(
                f"{folder} holds a name that is not UTF-8, {os.fsencode(name)!r}, and could not be written to results; "
                f"rename it."
            )
    return names

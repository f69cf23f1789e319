"""Public small sets that a folder holds as Parquet files or in torchvision's own layout."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lt_lightning import home
from lt_lightning.augmentations import Augmentation, NoAugmentation
from lt_lightning.data.in_memory import InMemoryLT
from lt_lightning.data.parquet import ParquetSource
from lt_lightning.data.profiles import Profile
from lt_lightning.data.sources import ImageSource, SetFacts
from lt_lightning.data.splits import Subset, ValFrom
from lt_lightning.data.torchvision_files import TorchvisionFiles
from lt_lightning.errors import UsageError
from lt_lightning.locking import locked_if_possible
from lt_lightning.samplers import EpochSampler, InstanceSampler


@dataclass(frozen=True)
class PublicSetFacts(SetFacts):
    """Facts of a set that torchvision can download.

    Attributes:
        dataset: The torchvision class.
        folder: What that class keeps below its root.
    """

    dataset: Callable[..., Any]
    folder: str


class PublicSetLT(InMemoryLT, ABC):
    """Base of sets that are found in a folder: Parquet files first, then torchvision's layout, then a download.

    Args:
        root: Folder with ``train-*.parquet`` and ``test-*.parquet`` (there, in ``<set name>/`` or in ``data/``), or the
            folder that torchvision downloads into.
        download: Whether to download into ``root``, in torchvision's layout, what is missing there.
        imbalance_ratio: Images of the largest class over those of the smallest; not used by ``none``, ``complete``.
        profile: Shape of the tail: ``exponential``, ``step`` or ``none``; ``complete`` cuts nothing off, so that each
            class has the images it was published with, be they equal in number or not.
        max_count: Training images of the largest class; ``None`` takes as many as every class of the pool has. Not used
            by ``complete``.
        subset: Which images of a class are taken: ``first``, as in published code, or the seed of a random choice.
        val_from: Where validation images come from: ``unused`` pool images, the ``pool`` before the subset is drawn,
            the ``train`` images, or ``none``.
        val_per_class: Validation images per class with ``unused`` (at most) and ``pool``.
        val_fraction: Share of the training images that ``val_from="train"`` takes.
        crop_padding: Pixels of black border for random crops while training; 0 for none.
        flip: Whether to mirror half of the training images.
        augmentation: Makes what else changes training images, after crop and flip; nothing if ``None``, as by default.
        batch_size: Images per optimiser step, over all processes together.
        eval_batch_size: Images per evaluation batch and process.
        num_workers: Worker processes; 0 is fastest for images in memory.
        sampler: Makes the training sampler from ``(targets, seed)``.
        group_thresholds: ``(low, high)``: more than ``high`` training images is "many", fewer than ``low`` "few".
    """

    def __init__(
        self,
        root: str = "data",
        download: bool = False,
        imbalance_ratio: float = 100.0,
        profile: Profile = "exponential",
        max_count: int | None = None,
        subset: Subset = "first",
        val_from: ValFrom = "unused",
        val_per_class: int = 20,
        val_fraction: float = 0.1,
        crop_padding: int = 4,
        flip: bool = True,
        augmentation: Callable[[], Augmentation] | None = NoAugmentation,
        batch_size: int = 128,
        eval_batch_size: int = 512,
        num_workers: int = 0,
        sampler: Callable[[Tensor, int], EpochSampler] = InstanceSampler,
        group_thresholds: tuple[int, int] = (20, 100),
    ) -> None:
        super().__init__(
            imbalance_ratio=imbalance_ratio,
            profile=profile,
            max_count=max_count,
            subset=subset,
            val_from=val_from,
            val_per_class=val_per_class,
            val_fraction=val_fraction,
            crop_padding=crop_padding,
            flip=flip,
            augmentation=augmentation,
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            sampler=sampler,
            group_thresholds=group_thresholds,
        )
        self.root = home.expanded(root)
        self.download = download

    @property
    @abstractmethod
    def facts(self) -> PublicSetFacts:
        """What is known of the set without its files."""

    def prepare_data(self) -> None:
        """Download the set if that is allowed and necessary; of processes and jobs that share ``root`` one does it."""
        if self.download:
            root = Path(self.root)
            with locked_if_possible(root / ".lt_lightning.lock"):
                # A folder may be what a download left that failed: torchvision knows which files are missing.
                if not isinstance(self._find(), ParquetSource):
                    TorchvisionFiles(self.facts.dataset, root).download()
        self.open_source()

    def open_source(self) -> ImageSource:
        """The set's files.

        Raises:
            UsageError: If they are not where they should be, or are those of another set.
        """
        source = self._find()
        if source is None:
            raise UsageError(self._not_found())
        return source

    def _find(self) -> ImageSource | None:
        root = Path(self.root)
        for folder in (root, root / self.facts.name, root / "data"):
            train, test = sorted(folder.glob("train-*.parquet")), sorted(folder.glob("test-*.parquet"))
            if train and test:
                source = ParquetSource({"train": train, "test": test}, channels=len(self.facts.mean))
                check_class_names(self.facts.class_names, source.class_names, str(folder))
                return source
        if (root / self.facts.folder).is_dir():
            return TorchvisionFiles(self.facts.dataset, root)
        return None

    def _not_found(self) -> str:
        root = Path(self.root)
        found = sorted(entry.name for entry in root.iterdir())[:8] if root.is_dir() else None
        what = "that folder does not exist" if found is None else f"found {', '.join(found) or 'an empty folder'}"
        return (
            f"`root` {self.root} does not hold {self.facts.name} ({what}); give the folder of its train-*.parquet and "
            f"test-*.parquet files (they may lie in {self.facts.name}/ or data/ below it), or the one that holds "
            f"torchvision's {self.facts.folder}, or let `--data.download true` fetch it."
        )


def check_class_names(expected: Sequence[str], found: Sequence[str], where: str) -> None:
    """Refuse files of another data set, or with classes in another order.

    Spelling may differ between exports ("T-shirt/top", "T - shirt / top"), so only these are refused: another number of
    classes, the same names in another order, and names none of which is the expected one.

    Args:
        expected: Names in the official order.
        found: Names in the file; empty if it has none.
        where: Folder of the file.

    Raises:
        UsageError: If the files are refused.
    """
    if not found:
        return
    if len(found) != len(expected):
        raise UsageError(
            f"`root` {where} holds files of {len(found)} classes, but {len(expected)} are expected; check that they "
            f"belong to this data set."
        )
    if not any(a.lower() == b.lower() for a, b in zip(expected, found, strict=True)) or (
        list(found) != list(expected) and sorted(found) == sorted(expected)
    ):
        raise UsageError(
            f"`root` {where} holds files whose classes are {', '.join(found[:3])}, …, but {', '.join(expected[:3])}, … "
            f"are expected in this order; check that they belong to this data set."
        )

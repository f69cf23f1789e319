"""Long tails cut from small images that are kept in memory as uint8 and augmented in batches on the device."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal, cast, overload

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lt_lightning.augmentations import Augmentation, NoAugmentation
from lt_lightning.augmentations.base import augment
from lt_lightning.data import profiles
from lt_lightning.data.base import Batch, LTDataModule, Split
from lt_lightning.data.crop_table import CropTable, RowLoader
from lt_lightning.data.in_memory_images import InMemoryImages
from lt_lightning.data.profiles import Profile
from lt_lightning.data.sources import ImageSource, SetFacts
from lt_lightning.data.splits import (
    Subset,
    ValFrom,
    check_labels,
    classes_without,
    image_digests,
    split_hash,
    split_pool,
    validation_counts,
)
from lt_lightning.errors import UsageError, check_makes, check_word
from lt_lightning.functional.augment import crop_at, normalize, random_crop, random_horizontal_flip
from lt_lightning.samplers import EpochSampler, InstanceSampler, ShardedBatchSampler
from lt_lightning.wording import class_path

# Re-exported for subclasses.
__all__ = ["InMemoryImages", "InMemoryLT", "SetFacts"]


class InMemoryLT(LTDataModule, ABC):
    """Base of small sets: a subclass gives its :attr:`facts` and opens its source.

    A validation image with the same pixels as a training image is left out, and the record counts them.

    Args:
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

    Raises:
        UsageError: If a value is out of range or unknown; the data are looked at only in ``prepare_data`` and
            ``setup``.
    """

    def __init__(
        self,
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
        super().__init__(batch_size, eval_batch_size, num_workers, sampler, group_thresholds)
        check_word("data.profile", profile, Profile)
        check_word("data.val_from", val_from, ValFrom)
        if val_per_class < 1:
            raise UsageError(
                f"`data.val_per_class` must be at least 1, but got {val_per_class}; for no validation images use "
                f'`val_from="none"`.'
            )
        if crop_padding < 0:
            raise UsageError(f"`data.crop_padding` must be at least 0, but got {crop_padding}.")
        if subset != "first" and (not isinstance(subset, int) or subset < 0):
            raise UsageError(f'`data.subset` must be "first" or a seed of at least 0, but got {subset!r}.')
        check_makes("data.augmentation", augmentation, Augmentation)
        self.imbalance_ratio = imbalance_ratio
        self.profile: Profile = profile
        self.max_count = max_count
        self.subset: Subset = subset
        self.val_from: ValFrom = val_from
        self.val_per_class = val_per_class
        self.val_fraction = val_fraction
        self.crop_padding = crop_padding
        self.flip = flip
        self.augmentation = NoAugmentation() if augmentation is None else augmentation()

    def _forget(self) -> None:
        super()._forget()
        self._hashes: dict[Split, str] = {}
        self._of_pool: dict[Split, InMemoryImages | None] = {}
        self._repeated = 0
        self._table: CropTable | None = None

    # -- what a subclass provides ------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def facts(self) -> SetFacts:
        """What is known of the set without its files."""

    @abstractmethod
    def open_source(self) -> ImageSource:
        """The set's images, complete; called when a split is loaded."""

    # -- the contract ------------------------------------------------------------------------------------------------

    @property
    def class_names(self) -> list[str]:
        """Name of each class."""
        return list(self.facts.class_names)

    @property
    def class_counts(self) -> list[int]:
        """Training images per class, by formula."""
        counts = self._wanted_counts()
        if self.val_from != "train":
            return counts
        return [n - held for n, held in zip(counts, validation_counts(counts, self.val_fraction), strict=True)]

    @overload
    def split(self, name: Literal["train", "test"]) -> InMemoryImages: ...
    @overload
    def split(self, name: Split) -> InMemoryImages | None: ...
    def split(self, name: Split) -> InMemoryImages | None:
        """One split's images, loaded on first use; only for validation there may be none."""
        return cast(InMemoryImages | None, super().split(name))

    def load(self, split: Split) -> InMemoryImages | None:
        """Load a split; training and validation images are decoded in one pass."""
        if split == "test":
            return self._load_test()
        if not self._of_pool:
            train, val = self._load_pool()
            self._of_pool = {"train": train, "val": val}
        return self._of_pool[split]

    def to_input(self, images: Tensor, training: bool, generator: torch.Generator | None) -> Tensor:
        """Crop and flip (while training), then :meth:`finish`: ``(B, C, H, W)``, fp32."""
        if training:
            images = random_crop(images, self.crop_padding, generator)
            if self.flip:
                images = random_horizontal_flip(images, generator)
        return self.finish(images, training, generator)

    def finish(self, images: Tensor, training: bool, generator: torch.Generator | None) -> Tensor:
        """What follows crops and flips, wherever they were made: other augmentation, then normalisation.

        Args:
            images: ``(B, C, H, W)``, uint8.
            training: Whether to augment.
            generator: Source of the augmentation's draws; ``None`` unless ``training``.

        Returns:
            ``(B, C, H, W)``, fp32, in the memory format of ``images``.
        """
        if training:
            images = augment(self.augmentation, images, generator)
        return normalize(images, self.facts.mean, self.facts.std)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of this process's share: of positions alone where a table on the device has the images."""
        loader = super().train_dataloader()
        device = self._table_device()
        if device is None:
            return loader
        images = self.split("train")
        self._table = CropTable(images.images, self.crop_padding, self.flip, device)
        return RowLoader(images, cast(ShardedBatchSampler, loader.batch_sampler), device)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Make a whole batch on the device it will be used on."""
        if self._table is None or self.trainer is None or not self.trainer.training:
            return super().on_after_batch_transfer(batch, dataloader_idx)
        rows, targets = batch
        generator = self._augmentation_generator(rows.device)
        return self.finish(self._table.draw(rows, generator), True, generator), targets

    def teardown(self, stage: str) -> None:  # noqa: ARG002
        """Give the table's memory back."""
        self._table = None

    def _table_device(self) -> torch.device | None:
        """Device of the table that training crops are gathered from; ``None`` if there is to be no table."""
        # A subclass that makes its input in another way has to see the images.
        if self.trainer is None or self.num_workers or type(self).to_input is not InMemoryLT.to_input:
            return None
        device = self.trainer.strategy.root_device
        images = self.split("train").images
        return device if CropTable.fits(images, self.crop_padding, self.flip, device) else None

    def describe_transform(self, training: bool) -> dict[str, Any]:
        """Normalisation and, while training, augmentation; a subclass with a ``to_input`` of its own adds to it."""
        described: dict[str, Any] = {
            "class": class_path(self),
            "mean": self.facts.mean,
            "std": self.facts.std,
        }
        if not training:
            return described
        drawn = {"crop_padding": self.crop_padding, "flip": self.flip, "augmentation": self.augmentation.describe()}
        return described | drawn

    def count_views(self) -> int:
        """Crops times flips: 162 for 4 pixels of border and flips.

        Raises:
            UsageError: If there is other augmentation, or a ``to_input`` or ``finish`` of its own: their outcomes
                cannot be listed.
        """
        if (type(self).to_input, type(self).finish) != (InMemoryLT.to_input, InMemoryLT.finish):
            return super().count_views()
        if self.augmentation.changes:
            raise UsageError(
                f'`views` "all" takes every crop and mirror image, but with `data.augmentation` '
                f"{type(self.augmentation).__name__} there are more views than can be listed; give a number of "
                f"`views`, or leave `data.augmentation` out."
            )
        return (2 * self.crop_padding + 1) ** 2 * (2 if self.flip else 1)

    def to_view(self, images: Tensor, view: int) -> Tensor:
        """One crop, mirrored in the second half of the views, finished as for evaluation: ``(B, C, H, W)``, fp32."""
        mirrored, place = divmod(view, (2 * self.crop_padding + 1) ** 2)
        crop = crop_at(images, self.crop_padding, *divmod(place, 2 * self.crop_padding + 1))
        return self.finish(crop.flip(-1) if mirrored else crop, False, None)

    def describe_split(self) -> dict[str, Any]:
        """What was asked for, what came of it, and the pixel hashes of the splits loaded so far."""
        counts = self.class_counts
        loaded = {**self._of_pool, **self._splits}
        val = loaded.get("val")
        return {
            "dataset": self.facts.name,
            "profile": self.profile,
            "imbalance_ratio": self.imbalance_ratio,
            "real_imbalance_ratio": max(counts) / min(counts),
            "subset": self.subset,
            "val_from": self.val_from,
            "val_per_class": self.val_per_class if self.val_from in ("unused", "pool") else None,
            "val_fraction": self.val_fraction if self.val_from == "train" else None,
            "val_repeats_left_out": self._repeated,
            "sizes": {name: len(images) for name, images in loaded.items() if images is not None},
            "hashes": dict(self._hashes),
            "hash_of": "pixels",
            "classes_without_validation": [] if val is None else classes_without(val.targets, len(counts)),
        }

    def with_held_out(self) -> LTDataModule:
        """These data with the images that ``val_from="train"`` holds out back among those that train."""
        return self._recut(val_from="none") if self.val_from == "train" else self

    def balanced_pool(self) -> LTDataModule:
        """The pool, as many images of each class as its smallest has; validation images may be among them."""
        labels = self.open_source().labels("train")
        smallest = int(torch.bincount(labels, minlength=len(self.facts.class_names)).min())
        return self._recut(profile="none", val_from="none", max_count=smallest)

    def _wanted_counts(self) -> list[int]:
        if self.profile == "complete":
            held_out = self.val_per_class if self.val_from == "pool" else 0
            return profiles.complete_counts(self.facts.pool_counts, held_out)
        return profiles.class_counts(
            self.profile, len(self.facts.class_names), self._largest_count(), self.imbalance_ratio
        )

    def _largest_count(self) -> int:
        if self.max_count is not None:
            return self.max_count
        return min(self.facts.pool_counts) - (self.val_per_class if self.val_from == "pool" else 0)

    def _load_pool(self) -> tuple[InMemoryImages | None, InMemoryImages | None]:
        source = self.open_source()
        labels = source.labels("train")
        check_labels(labels, len(self.facts.class_names), f"The training set of {self.facts.name}")
        if self.profile == "complete":
            found = torch.bincount(labels, minlength=len(self.facts.pool_counts)).tolist()
            profiles.check_complete(found, self.facts.pool_counts, self.facts.name)
        chosen = split_pool(
            labels, self._wanted_counts(), self.val_from, self.val_per_class, self.val_fraction, self.subset
        )
        images = source.images("train", torch.cat([chosen.train, chosen.val]))
        train, val = images[: len(chosen.train)], images[len(chosen.train) :]
        # Public sets repeat some images; a validation image that trains too would not be unseen.
        seen = set(image_digests(train))
        unseen = torch.tensor([digest not in seen for digest in image_digests(val)], dtype=torch.bool)
        self._repeated = int((~unseen).sum())
        return (
            self._made("train", train, labels[chosen.train]),
            self._made("val", val[unseen], labels[chosen.val][unseen]),
        )

    def _load_test(self) -> InMemoryImages | None:
        source = self.open_source()
        labels = source.labels("test")
        check_labels(labels, len(self.facts.class_names), f"The test set of {self.facts.name}")
        return self._made("test", source.images("test", torch.arange(len(labels))), labels)

    def _made(self, split: Split, images: Tensor, targets: Tensor) -> InMemoryImages | None:
        if len(targets) == 0:
            return None
        channels = len(self.facts.mean)
        if images.shape[1] != channels:
            raise UsageError(
                f"The images of {self.facts.name} have {images.shape[1]} channels, but {channels} are expected; check "
                f"that the files belong to this data set."
            )
        self._hashes[split] = split_hash(images)
        return InMemoryImages(images, targets)

"""The data module every source of images derives from: loaders, sharding, and what a results file must record."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sized
from copy import copy
from math import ceil
from typing import Any, Literal, Protocol, cast

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from lt_lightning.augmentations import Augmentation
from lt_lightning.data.announced import check_announced
from lt_lightning.data.loading import LateLoader, options_of_workers
from lt_lightning.data.same_images import check_same_images
from lt_lightning.data.splits import check_images
from lt_lightning.errors import UsageError, check_begun, check_makes, check_thresholds, check_word
from lt_lightning.functional.checks import images_and_targets
from lt_lightning.samplers import EpochSampler, EvalBatchSampler, InstanceSampler, ShardedBatchSampler
from lt_lightning.samplers.base import make_sampler, targets_from_counts
from lt_lightning.samplers.sharding import check_shared
from lt_lightning.seeds import run_seed, seed_from
from lt_lightning.wording import class_path

Split = Literal["train", "val", "test"]
Batch = tuple[Tensor, Tensor]


class LabelledImages(Sized, Protocol):
    """A dataset that is read a batch at a time."""

    targets: Tensor
    """Class of each image, shape ``(N,)``, int64."""

    def __getitems__(self, indices: list[int]) -> Batch:
        """Images ``(B, C, H, W)``, uint8, and their classes ``(B,)``."""


class LTDataModule(LightningDataModule, ABC):
    """Base of all long-tailed image data.

    Subclasses say how many training images each class has **before any image is read** (:attr:`class_counts` is linked
    into the model when the configuration is parsed) and load the splits in :meth:`load`.

    Args:
        batch_size: Images per optimiser step, over all processes together.
        eval_batch_size: Images per evaluation batch and process.
        num_workers: Worker processes that load images; 0 for sets held in memory.
        sampler: Makes the training sampler from ``(targets, seed)``; any :class:`EpochSampler` subclass.
        group_thresholds: ``(low, high)``: a class with more than ``high`` training images is "many", with fewer than
            ``low`` "few", otherwise "medium". 20 and 100 are the field's standard (Liu et al. 2019).

    Raises:
        UsageError: If a size is below its minimum, the thresholds do not rise, or ``sampler`` is made already.
    """

    def __init__(
        self,
        batch_size: int = 128,
        eval_batch_size: int = 512,
        num_workers: int = 0,
        sampler: Callable[[Tensor, int], EpochSampler] = InstanceSampler,
        group_thresholds: tuple[int, int] = (20, 100),
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("eval_batch_size", eval_batch_size, 1),
            ("num_workers", num_workers, 0),
        ):
            if value < least:
                raise UsageError(f"`data.{name}` must be at least {least}, but got {value}.")
        check_thresholds("data.group_thresholds", group_thresholds)
        check_makes("data.sampler", sampler, EpochSampler)
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.num_workers = num_workers
        self.sampler = sampler
        low, high = group_thresholds
        self.group_thresholds = (low, high)
        self._forget()

    def _forget(self) -> None:
        """Have nothing loaded, as at first; extended where more is kept of what was loaded."""
        self.train_sampler: EpochSampler | None = None
        self._splits: dict[Split, LabelledImages | None] = {}
        self._skip_batches = 0

    # -- what a subclass provides ------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def class_counts(self) -> list[int]:
        """Training images per class, from a formula or a list file: no image is read for it."""

    @property
    @abstractmethod
    def class_names(self) -> list[str]:
        """Name of each class, in the order of the targets."""

    @abstractmethod
    def load(self, split: Split) -> LabelledImages | None:
        """Load one split; ``None`` where the source has no such split."""

    @abstractmethod
    def to_input(self, images: Tensor, training: bool, generator: torch.Generator | None) -> Tensor:
        """Turn a batch of uint8 images into network input, on the device the batch is on.

        Args:
            images: ``(B, C, H, W)``, uint8.
            training: Whether to augment.
            generator: Source of the augmentation's draws, which are made on its own device; ``None`` unless
                ``training``.
        """

    def describe_split(self) -> dict[str, Any]:
        """What a results file records of the split: selection rule, sizes, hashes. Known after :meth:`setup`."""
        return {name: len(images) for name, images in self._splits.items() if images is not None}

    def describe_augmentation(self) -> dict[str, Any] | None:
        """What training images go through besides crops and mirroring: ``augmentation``, if the data have it."""
        found = vars(self).get("augmentation")
        return found.describe() if isinstance(found, Augmentation) else None

    # -- what extraction of features asks for -------------------------------------------------------------------------

    def undistorted(self, name: Split) -> LabelledImages | None:
        """One split as evaluation shows it; differs from :meth:`split` where images are augmented as they are read."""
        return self.split(name)

    def undistorted_batches(self, name: Split, device: torch.device) -> Iterator[Batch]:
        """This process's share of a split as network input without augmentation, each image once over all processes.

        Args:
            name: A split that there is.
            device: Where batches of at most ``eval_batch_size`` images are made and left.
        """
        images = self.required(name, undistorted=True)
        batches = EvalBatchSampler(len(images), self.eval_batch_size, *self._process())
        for batch in self._loader(images, batches, self.eval_batch_size):
            pixels, targets = images_and_targets(batch, self)
            yield self.to_input(pixels.to(device), training=False, generator=None), targets.to(device)

    def fingerprint(self, name: Split) -> str:
        """SHA-256 of a split's images in their order, which the hash in its record ignores.

        It reads every image; a source with a cheaper way overrides it.
        """
        images = self.undistorted(name)
        digest = hashlib.sha256()
        count = 0 if images is None else len(images)
        for start in range(0, count, 1024):
            batch = cast(LabelledImages, images).__getitems__(list(range(start, min(start + 1024, count))))
            pixels, _ = images_and_targets(batch, images, learns=False)
            digest.update(f"{tuple(pixels.shape)} {pixels.dtype}\n".encode())
            digest.update(pixels.contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def describe_transform(self, training: bool) -> dict[str, Any]:  # noqa: ARG002
        """Plain values that tell one way of turning images into input from another.

        Here every public option that has nothing to do with batches; a subclass may name fewer.

        Args:
            training: Whether augmentation is part of it.
        """
        others = {"batch_size", "eval_batch_size", "num_workers", "group_thresholds", *vars(LightningDataModule())}
        options = {name: value for name, value in vars(self).items() if not name.startswith("_") and name not in others}
        return {"class": class_path(self)} | {name: value for name, value in options.items() if _is_plain(value)}

    def count_views(self) -> int:
        """How many views of an image augmentation can make, all of them equally likely.

        Raises:
            UsageError: If they cannot be enumerated.
        """
        raise UsageError(
            f'`views` "all" needs augmentation of which every outcome can be listed, as for small images kept in '
            f"memory, but `{type(self).__name__}` has none; give a number of `views`."
        )

    def to_view(self, images: Tensor, view: int) -> Tensor:  # noqa: ARG002
        """Turn a batch, ``(B, C, H, W)``, uint8, into one of its :meth:`count_views` inputs, counted from 0."""
        raise UsageError(f"`{type(self).__name__}` cannot list its views: it defines no `to_view`.")

    # -- what a comparison asks for -----------------------------------------------------------------------------------

    def with_held_out(self) -> "LTDataModule":
        """These data with the images that ``val_from="train"`` holds out back among those that train; loads nothing."""
        return self

    def balanced_pool(self) -> "LTDataModule | None":
        """The images that the long tail was cut from, as many of each class; ``None`` where there are none."""
        return None

    # -- what everyone gets ------------------------------------------------------------------------------------------

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_counts)

    @property
    def rebalances(self) -> bool:
        """Whether the training sampler shows classes in other proportions than the training set has."""
        return self._made_sampler(targets_from_counts(self.class_counts), 0).rebalances

    @property
    def has_validation(self) -> bool:
        """Whether there are validation images; loads them if need be."""
        return self.split("val") is not None

    def split(self, name: Split) -> LabelledImages | None:
        """One split's images, loaded on first use.

        Raises:
            UsageError: If there is no split of that name, or its images, or what is said of them before they are read,
                are not as they should be.
        """
        check_begun("data", self, "_splits", "(**options)")
        if name not in self._splits:
            check_word("split", name, Split)
            check_announced(self)
            images = self.load(name)
            if images is not None:
                check_images(images, name, self.class_counts, type(self).__name__)
            self._splits[name] = images
        return self._splits[name]

    def setup(self, stage: str) -> None:
        """Load what ``stage`` needs, so that bad data stops the run before it trains."""
        needed: tuple[Split, ...] = ("train", "val") if stage in ("fit", "validate") else ("test",)
        if self._process()[1] > 1:
            check_same_images(self, needed)
        for name in needed:
            self.split(name)
        if stage == "fit":
            train = self.required("train", "fit")
            self.train_sampler = self._made_sampler(train.targets, run_seed())
            if self.trainer is not None:
                epochs = self.trainer.max_epochs
                self.train_sampler.set_epochs(epochs if epochs is not None and epochs > 0 else None)
        if stage == "validate":
            self.required("val", "validate")
        if stage in ("test", "predict"):
            self.required("test", "test" if stage == "test" else "predict")  # Lightning's enum shows otherwise

    def required(self, name: Split, command: str = "", undistorted: bool = False) -> LabelledImages:
        """One split's images, where nothing can be done without them.

        Args:
            name: The split.
            command: What needs them, as the error says it; empty where it has many names.
            undistorted: Whether images are wanted as evaluation shows them, also those that train.

        Raises:
            UsageError: If there are none.
        """
        images = self.undistorted(name) if undistorted else self.split(name)
        if images is None:
            raise self.no_images(name, command)
        return images

    def no_images(self, name: Split, command: str = "") -> UsageError:
        """The error to raise where ``command`` needs images of a split that has none."""
        what = {"train": "training", "val": "validation", "test": "test"}[name]
        need = f"`{command}` needs some" if command else ""
        advice = ": ".join(filter(None, (need, self.remedy_for(name))))
        return UsageError(f"`{type(self).__name__}` has no {what} images{f'; {advice}' if advice else ''}.")

    def remedy_for(self, name: Split) -> str:  # noqa: ARG002
        """What a user can do to give a split images, as the end of a sentence; empty if unknown."""
        return ""

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of this process's share, in the order of the sampler."""
        train = self.split("train")
        if train is None or self.train_sampler is None:
            raise UsageError("`train_dataloader` needs `setup('fit')` first.")
        same = self.trainer is not None and cast(Any, self.trainer).overfit_batches > 0
        batches = ShardedBatchSampler(self.train_sampler, self.batch_size, *self._process(), self._skip_batches, same)
        self._skip_batches = 0
        return self._loader(train, batches, self.batch_size // batches.world_size)

    def check_processes(self, number: int) -> None:
        """Refuse processes that cannot share a batch of training, before any of them is started.

        Args:
            number: Of the processes.

        Raises:
            UsageError: If it does not divide ``batch_size``.
        """
        if type(self).train_dataloader.__module__.startswith("lt_lightning."):  # one's own may share in another way
            check_shared(self.batch_size, number)

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Validation images, each counted once; nothing where the source has none."""
        return self._eval_loader("val") or []

    def test_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Test images, each counted once."""
        return self._eval_loader("test") or []

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Test images in order; Lightning wraps the batch sampler of this loader itself, so it is a plain one."""
        test = self.required("test", "predict")
        rank, world_size = self._process()
        share = range(rank, len(test), world_size) or range(1)  # a process without a batch would not finish
        size = self.eval_batch_size
        return DataLoader(
            test,  # type: ignore[arg-type]
            batch_size=size,
            sampler=list(share),
            **options_of_workers(test, size, ceil(len(share) / size), self.num_workers, self.trainer),
        )

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:  # noqa: ARG002
        """Augment and normalise a whole batch on the device it will be used on."""
        predicting = self.trainer is not None and self.trainer.predicting
        images, targets = images_and_targets(batch, self, learns=not predicting)
        training = self.trainer is not None and self.trainer.training
        generator = self._augmentation_generator(targets.device) if training else None
        return self.to_input(images, training, generator), targets

    def state_dict(self) -> dict[str, Any]:
        """Progress within the epoch, for a run resumed in the middle of one; what was trained on the model records."""
        if self.trainer is None:
            return {}
        processed: int = self.trainer.fit_loop.epoch_loop.batch_progress.current.processed  # type: ignore[attr-defined]
        seen = processed if processed < self.trainer.num_training_batches else 0
        return {"batches_seen": seen, "batch_size": self.batch_size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Skip what the interrupted epoch has already shown.

        Raises:
            UsageError: If that was shown in batches of another size.
        """
        if self.trainer is not None and self.trainer.state.fn != "fit":  # a test of the same file starts no epoch
            return
        self._skip_batches = int(state_dict.get("batches_seen", 0))
        before = state_dict.get("batch_size", self.batch_size)
        if self._skip_batches and before != self.batch_size:
            raise UsageError(
                f"`data.batch_size` is {self.batch_size}, but `ckpt_path` was written {self._skip_batches} batches of "
                f"{before} into an epoch, which must end as it began; give {before}, or a checkpoint of an epoch's end."
            )

    def _recut(self, **options: Any) -> "LTDataModule":
        """The same source with other options, nothing loaded."""
        other = copy(self)
        vars(other).update(options)
        other._forget()
        return other

    def _made_sampler(self, targets: Tensor, seed: int) -> EpochSampler:
        return make_sampler(self.sampler, targets, seed)

    def _process(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def _eval_loader(self, name: Split) -> DataLoader[Batch] | None:
        images = self.split(name)
        if images is None:
            return None
        batches = EvalBatchSampler(len(images), self.eval_batch_size, *self._process())
        return self._loader(images, batches, self.eval_batch_size)

    def _loader(self, images: LabelledImages, batches: Sampler[list[int]], size: int) -> DataLoader[Batch]:
        device = None if self.trainer is None else self.trainer.strategy.root_device.type
        return LateLoader(
            images,  # type: ignore[arg-type]  # read through __getitems__ alone
            batch_sampler=batches,
            persistent_workers=self.num_workers > 0,
            # Pinning begins to use a GPU, wanted or not.
            pin_memory=torch.cuda.is_available() and device in (None, "cuda"),
            **options_of_workers(images, size, len(cast(Sized, batches)), self.num_workers, self.trainer),
        )

    def _augmentation_generator(self, device: torch.device) -> torch.Generator:
        # Seeded anew for each batch, so a resumed run draws what the uninterrupted one would have drawn.
        assert self.trainer is not None
        place = (run_seed(), self.trainer.current_epoch, self.trainer.fit_loop.epoch_loop.batch_idx, self._process()[0])
        return torch.Generator(device).manual_seed(seed_from(*place))


def _is_plain(option: object) -> bool:
    if isinstance(option, list):  # numbers may change what an image becomes, names of files do not
        return all(isinstance(entry, int | float) for entry in option)
    return isinstance(option, bool | int | float | str | tuple)

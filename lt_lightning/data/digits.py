"""Scikit-learn's handwritten digits cut to a long tail: real images that need no download."""

import random
from collections.abc import Callable

import torch
from torch import Tensor

from lt_lightning.augmentations import Augmentation, NoAugmentation
from lt_lightning.data.in_memory import InMemoryLT
from lt_lightning.data.profiles import Profile
from lt_lightning.data.sources import ArraySource, SetFacts
from lt_lightning.data.splits import Subset, ValFrom
from lt_lightning.samplers import EpochSampler, InstanceSampler
from lt_lightning.samplers.base import places_in_class

TEST_PER_CLASS = 50


class DigitsLT(InMemoryLT):
    """The 1,797 8×8 grey digits of scikit-learn (UCI, Alpaydin and Kaynak 1998), cut to a long tail.

    The images are put into one fixed order, whatever the run's seed: sorted by a random key per row that Python's
    generator draws from seed 0. The first 50 of each class are the test set, the others (124 to 133) the pool; with the
    default ``val_from`` the first 20 of each class of the pool validate. At the defaults the classes have 100, 64, 41,
    27, 17, 11, 7, 4, 3 and 2 training images, and ``group_thresholds`` make 3 many, 3 medium and 4 few of them.

    Args:
        imbalance_ratio: Images of the largest class over those of the smallest; not used by ``none``, ``complete``.
        profile: Shape of the tail: ``exponential``, ``step`` or ``none``; ``complete`` cuts nothing off.
        max_count: Training images of the largest class; at most 104 beside 20 held out; ``None`` takes that many.
        subset: Which images of a class are taken: ``first`` of the fixed order, or the seed of a random choice.
        val_from: Where validation images come from: the ``pool`` before the subset is drawn, ``unused`` pool images,
            the ``train`` images, or ``none``.
        val_per_class: Validation images per class with ``pool`` and ``unused`` (at most).
        val_fraction: Share of the training images that ``val_from="train"`` takes.
        crop_padding: Pixels of black border for random crops while training.
        flip: Whether to mirror half of the training images. Not by default: a mirrored digit is none.
        augmentation: Makes what else changes training images, after crop and flip; nothing if ``None``, as by default.
        batch_size: Images per optimiser step, over all processes together.
        eval_batch_size: Images per evaluation batch and process.
        num_workers: Worker processes; 0 is fastest for images in memory.
        sampler: Makes the training sampler from ``(targets, seed)``.
        group_thresholds: ``(low, high)``: more than ``high`` training images is "many", fewer than ``low`` "few". The
            field's 20 and 100 would leave "many" empty here.
    """

    def __init__(
        self,
        imbalance_ratio: float = 50.0,
        profile: Profile = "exponential",
        max_count: int | None = 100,
        subset: Subset = "first",
        val_from: ValFrom = "pool",
        val_per_class: int = 20,
        val_fraction: float = 0.1,
        crop_padding: int = 1,
        flip: bool = False,
        augmentation: Callable[[], Augmentation] | None = NoAugmentation,
        batch_size: int = 128,
        eval_batch_size: int = 512,
        num_workers: int = 0,
        sampler: Callable[[Tensor, int], EpochSampler] = InstanceSampler,
        group_thresholds: tuple[int, int] = (8, 30),
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

    @property
    def facts(self) -> SetFacts:
        """The digits' names, sizes and pixel statistics."""
        return SetFacts(
            name="digits",
            class_names=tuple("0123456789"),
            pool_counts=(128, 132, 127, 133, 131, 132, 131, 129, 124, 130),
            mean=(0.3053,),
            std=(0.3760,),
        )

    def open_source(self) -> ArraySource:
        """Scale 0..16 to 0..255, put the images into the fixed order and part test from pool."""
        from sklearn.datasets import load_digits  # here, because it takes a fifth of a second

        digits = load_digits()
        images = torch.from_numpy(digits.images).mul(255 / 16).round().to(torch.uint8).unsqueeze(1)
        labels = torch.from_numpy(digits.target).to(torch.int64)
        # Only random() itself is promised to give the same numbers in every version of Python.
        draw = random.Random(0).random
        keys = [draw() for _ in range(len(labels))]
        order = torch.tensor(sorted(range(len(labels)), key=keys.__getitem__))
        places = places_in_class(labels[order])
        rows = {"train": order[places >= TEST_PER_CLASS], "test": order[places < TEST_PER_CLASS]}
        return ArraySource(
            {"train": images[rows["train"]], "test": images[rows["test"]]},
            {"train": labels[rows["train"]], "test": labels[rows["test"]]},
        )

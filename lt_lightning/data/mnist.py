"""Long-tailed MNIST, Fashion-MNIST and Kuzushiji-MNIST: 28×28 grey images, 10 classes."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor
from torchvision import datasets

from lt_lightning.augmentations import Augmentation, NoAugmentation
from lt_lightning.data.profiles import Profile
from lt_lightning.data.public_sets import PublicSetFacts, PublicSetLT
from lt_lightning.data.splits import Subset, ValFrom
from lt_lightning.errors import check_word
from lt_lightning.samplers import EpochSampler, InstanceSampler

Variant = Literal["mnist", "fashion", "kmnist"]

_FACTS: dict[Variant, PublicSetFacts] = {
    "mnist": PublicSetFacts(
        name="mnist",
        class_names=tuple("0123456789"),
        pool_counts=(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        mean=(0.1307,),
        std=(0.3081,),
        dataset=datasets.MNIST,
        folder="MNIST",
    ),
    "fashion": PublicSetFacts(
        name="fashion_mnist",
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        pool_counts=(6000,) * 10,
        mean=(0.2860,),
        std=(0.3530,),
        dataset=datasets.FashionMNIST,
        folder="FashionMNIST",
    ),
    "kmnist": PublicSetFacts(
        name="kmnist",
        class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        pool_counts=(6000,) * 10,
        mean=(0.1918,),
        std=(0.3483,),
        dataset=datasets.KMNIST,
        folder="KMNIST",
    ),
}


class MNISTLT(PublicSetLT):
    """MNIST or one of its two successors, cut to a long tail.

    Args:
        variant: ``mnist`` (digits), ``fashion`` (clothes) or ``kmnist`` (Japanese characters).
        root: Folder with ``train-*.parquet`` and ``test-*.parquet`` (there, in ``<set name>/`` or in ``data/``), or the
            folder that torchvision downloads into.
        download: Whether to download into ``root``, in torchvision's layout, what is missing there.
        imbalance_ratio: Images of the largest class over those of the smallest; not used by ``none``, ``complete``.
        profile: Shape of the tail: ``exponential``, ``step`` or ``none``; ``complete`` cuts nothing off, so that each
            class has the images it was published with, be they equal in number or not.
        max_count: Training images of the largest class. 5,000, which each class of each variant has, leaves all three
            with the same counts and each class with unused images.
        subset: Which images of a class are taken: ``first``, or the seed of a random choice.
        val_from: Where validation images come from: ``unused`` pool images, the ``pool`` before the subset is drawn,
            the ``train`` images, or ``none``.
        val_per_class: Validation images per class with ``unused`` (at most) and ``pool``.
        val_fraction: Share of the training images that ``val_from="train"`` takes.
        crop_padding: Pixels of black border for random crops while training. None by default, as in LGL-INR's recipe.
        flip: Whether to mirror half of the training images. Not by default: a mirrored character is another one.
        augmentation: Makes what else changes training images, after crop and flip; nothing if ``None``, as by default.
        batch_size: Images per optimiser step, over all processes together.
        eval_batch_size: Images per evaluation batch and process.
        num_workers: Worker processes; 0 is fastest for images in memory.
        sampler: Makes the training sampler from ``(targets, seed)``.
        group_thresholds: ``(low, high)``: more than ``high`` training images is "many", fewer than ``low`` "few".
    """

    def __init__(
        self,
        variant: Variant = "mnist",
        root: str = "data",
        download: bool = False,
        imbalance_ratio: float = 100.0,
        profile: Profile = "exponential",
        max_count: int | None = 5000,
        subset: Subset = "first",
        val_from: ValFrom = "unused",
        val_per_class: int = 20,
        val_fraction: float = 0.1,
        crop_padding: int = 0,
        flip: bool = False,
        augmentation: Callable[[], Augmentation] | None = NoAugmentation,
        batch_size: int = 128,
        eval_batch_size: int = 512,
        num_workers: int = 0,
        sampler: Callable[[Tensor, int], EpochSampler] = InstanceSampler,
        group_thresholds: tuple[int, int] = (20, 100),
    ) -> None:
        super().__init__(
            root=root,
            download=download,
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
        check_word("data.variant", variant, Variant)
        self.variant: Variant = variant

    @property
    def facts(self) -> PublicSetFacts:
        """The variant's names, sizes and pixel statistics."""
        return _FACTS[self.variant]

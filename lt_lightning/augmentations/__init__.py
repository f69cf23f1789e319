"""Augmentation of whole batches of uint8 images on their device, with draws for each image."""

from lt_lightning.augmentations.auto_augment import AutoAugment
from lt_lightning.augmentations.base import Augmentation, AugmentationChain, NoAugmentation, draw_uniform
from lt_lightning.augmentations.color_jitter import ColorJitter
from lt_lightning.augmentations.cutout import Cutout
from lt_lightning.augmentations.rand_augment import RandAugment
from lt_lightning.augmentations.trivial_augment import TrivialAugment

__all__ = [
    "Augmentation",
    "AugmentationChain",
    "AutoAugment",
    "ColorJitter",
    "Cutout",
    "NoAugmentation",
    "RandAugment",
    "TrivialAugment",
    "draw_uniform",
]

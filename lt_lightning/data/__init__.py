"""Long-tailed images: data modules by source, all of one kind."""

from lt_lightning.data.base import LTDataModule
from lt_lightning.data.cifar import CIFAR10LT, CIFAR100LT
from lt_lightning.data.digits import DigitsLT
from lt_lightning.data.files import ImageFilesLT
from lt_lightning.data.folder import ImageFolderLT
from lt_lightning.data.in_memory import InMemoryLT
from lt_lightning.data.lists import ImageListLT
from lt_lightning.data.mnist import MNISTLT
from lt_lightning.data.predict_folder import PredictFolder
from lt_lightning.data.public_sets import PublicSetLT

__all__ = [
    "CIFAR10LT",
    "CIFAR100LT",
    "MNISTLT",
    "DigitsLT",
    "ImageFilesLT",
    "ImageFolderLT",
    "ImageListLT",
    "InMemoryLT",
    "LTDataModule",
    "PredictFolder",
    "PublicSetLT",
]

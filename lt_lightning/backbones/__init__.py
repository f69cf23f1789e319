"""Feature extractors."""

from lt_lightning.backbones.base import Backbone
from lt_lightning.backbones.cifar_resnet import CIFARResNet, ResNet20, ResNet32, ResNet44, ResNet56
from lt_lightning.backbones.small import SmallCNN
from lt_lightning.backbones.torchvision import TorchvisionBackbone

__all__ = [
    "Backbone",
    "CIFARResNet",
    "ResNet20",
    "ResNet32",
    "ResNet44",
    "ResNet56",
    "SmallCNN",
    "TorchvisionBackbone",
]

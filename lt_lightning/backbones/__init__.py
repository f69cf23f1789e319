"""Feature extractors."""

from lt_lightning.backbones.base import Backbone, without_published_weights
from lt_lightning.backbones.cifar_resnet import CIFARResNet, ResNet20, ResNet32, ResNet44, ResNet56
from lt_lightning.backbones.identity import Identity
from lt_lightning.backbones.mnist_cnn import CNN2C, CNN5C
from lt_lightning.backbones.small import SmallCNN
from lt_lightning.backbones.timm import TimmBackbone
from lt_lightning.backbones.torchvision import TorchvisionBackbone
from lt_lightning.backbones.wide_resnet import WideResNet

__all__ = [
    "CNN2C",
    "CNN5C",
    "Backbone",
    "CIFARResNet",
    "Identity",
    "ResNet20",
    "ResNet32",
    "ResNet44",
    "ResNet56",
    "SmallCNN",
    "TimmBackbone",
    "TorchvisionBackbone",
    "WideResNet",
    "without_published_weights",
]

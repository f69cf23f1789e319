"""Foreign files, and the classifiers read from them."""

from collections import OrderedDict

from torch import nn

from lt_lightning import checkpoints
from lt_lightning.backbones import SmallCNN

COUNTS = [100, 64, 41, 27, 17, 11, 7, 4, 3, 2]


def prefixed(tensors, prefix):
    return OrderedDict((prefix + key, value) for key, value in tensors.items())


def plain_layer(bias=True):
    return nn.Linear(8, 10, bias=bias)


def read(path, backbone=None, classes=10):
    source = checkpoints.read(path)
    backbone = SmallCNN(8) if backbone is None else backbone
    found = checkpoints.match(source, backbone)
    assert not found.missing
    return found, checkpoints.find_classifier(found, backbone.num_features, classes, source.path)

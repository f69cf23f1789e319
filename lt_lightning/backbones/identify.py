"""Which of the known backbones a set of weights belongs to."""

from collections.abc import Callable, Iterable, Iterator

import torch

from lt_lightning.backbones.base import Backbone
from lt_lightning.backbones.cifar_resnet import ResNet20, ResNet32, ResNet44, ResNet56
from lt_lightning.backbones.mnist_cnn import CNN2C, CNN5C
from lt_lightning.backbones.torchvision import TorchvisionBackbone
from lt_lightning.backbones.wide_resnet import WideResNet

# Each with a part of a key of its weights; it is built only for files that have such a key.
_OURS: tuple[tuple[type[Backbone], str], ...] = (
    (ResNet20, "layer3.2.bn2."),
    (ResNet32, "layer3.4.bn2."),
    (ResNet44, "layer3.6.bn2."),
    (ResNet56, "layer3.8.bn2."),
    (CNN2C, "layers.3."),
    (CNN5C, "layers.12."),
)
_TORCHVISION = {
    "resnet18": "layer4.1.bn2.",
    "resnet34": "layer4.2.bn2.",
    "resnet50": "layer4.2.bn3.",
    "resnet101": "layer3.22.bn3.",
    "resnet152": "layer3.35.bn3.",
    "resnext50_32x4d": "layer4.2.bn3.",
    "densenet121": "denseblock3.denselayer24.",
    "densenet201": "denseblock3.denselayer48.",
    # Its strides cannot be read from weights, so both stems fit and both are named.
    "mobilenet_v2": "features.17.conv.",
}


def _candidates() -> Iterator[tuple[str, str, Callable[[], Backbone]]]:
    for backbone, mark in _OURS:
        yield backbone.__name__, mark, backbone
    yield "WideResNet(depth=28, widen_factor=10)", "block3.layer.3.bn2.", WideResNet
    for name, mark in _TORCHVISION.items():
        for cifar_stem in (False, True):
            stem = ", cifar_stem=True" if cifar_stem else ""
            build = lambda n=name, c=cifar_stem: TorchvisionBackbone(n, c)  # noqa: E731
            yield f'TorchvisionBackbone(name="{name}"{stem})', mark, build


def fitting_backbones(fits: Callable[[Backbone], bool], keys: Iterable[str]) -> list[str]:
    """Names of the backbones that ``fits`` accepts, written as one would type them in Python.

    Args:
        fits: Called with each candidate, built on the meta device: shapes only, no memory.
        keys: Names of the tensors the backbone shall fit; candidates with a layer that is in none of these are not
            built.
    """
    names = "\n".join(keys)
    found = []
    for name, mark, build in _candidates():
        if mark not in names:
            continue
        with torch.device("meta"):
            backbone = build()
        if fits(backbone):
            found.append(name)
    return found

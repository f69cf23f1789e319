"""Which of the known backbones a set of weights belongs to."""

from collections.abc import Callable, Iterable

import torch

from lt_lightning.backbones.base import Backbone
from lt_lightning.backbones.cifar_resnet import ResNet20, ResNet32, ResNet44, ResNet56
from lt_lightning.backbones.torchvision import TorchvisionBackbone

_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d")


def _candidates() -> Iterable[tuple[str, Callable[[], Backbone]]]:
    for backbone in (ResNet20, ResNet32, ResNet44, ResNet56):
        yield backbone.__name__, backbone
    for name in _RESNETS:
        for cifar_stem in (False, True):
            stem = ", cifar_stem=True" if cifar_stem else ""
            yield f'TorchvisionBackbone(name="{name}"{stem})', lambda n=name, c=cifar_stem: TorchvisionBackbone(n, c)  # type: ignore[misc]


def fitting_backbones(fits: Callable[[Backbone], bool]) -> list[str]:
    """Names of the backbones that ``fits`` accepts, written as one would type them in Python.

    Args:
        fits: Called with each candidate, built on the meta device: shapes only, no memory.
    """
    found = []
    for name, build in _candidates():
        with torch.device("meta"):
            backbone = build()
        if fits(backbone):
            found.append(name)
    return found

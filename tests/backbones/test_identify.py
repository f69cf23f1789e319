"""Finding the backbone that weights belong to."""

from pathlib import Path

import pytest
import torch

from lt_lightning import checkpoints
from lt_lightning.backbones import CNN2C, CNN5C, ResNet20, ResNet32, ResNet56, TorchvisionBackbone, WideResNet
from lt_lightning.backbones.identify import _candidates, fitting_backbones


def file_of(backbone):
    weight = torch.empty(7, backbone.num_features, device="meta")
    tensors = {f"module.{key}": tensor for key, tensor in backbone.state_dict().items()}
    return checkpoints.Checkpoint(Path("some.pth"), {**tensors, "module.linear.weight": weight}, "")


def fits(source, backbone):
    assert all(tensor.is_meta for tensor in backbone.state_dict().values())  # no memory for so many networks
    found = checkpoints.match(source, backbone)
    extra = [key for key in found.rest if key != "module.linear.weight"]
    return not (found.missing or found.misshapen or extra)


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (ResNet32, ["ResNet32"]),  # not ResNet20, whose tensors are all in the file as well
        (CNN2C, ["CNN2C"]),
        (CNN5C, ["CNN5C"]),
        (WideResNet, ["WideResNet(depth=28, widen_factor=10)"]),
        (lambda: WideResNet(28, 2), []),
        (lambda: TorchvisionBackbone("resnet34"), ['TorchvisionBackbone(name="resnet34")']),
        (lambda: TorchvisionBackbone("resnet34", True), ['TorchvisionBackbone(name="resnet34", cifar_stem=True)']),
        (lambda: TorchvisionBackbone("densenet121"), ['TorchvisionBackbone(name="densenet121")']),
        (
            lambda: TorchvisionBackbone("mobilenet_v2", True),
            [
                'TorchvisionBackbone(name="mobilenet_v2")',
                'TorchvisionBackbone(name="mobilenet_v2", cifar_stem=True)',
            ],
        ),
    ],
)
def test_each_network_is_told_from_all_others(build, names):
    with torch.device("meta"):
        source = file_of(build())
    assert fitting_backbones(lambda backbone: fits(source, backbone), source.tensors) == names


def test_every_candidate_has_its_mark():
    built = []
    for name, mark, build in _candidates():
        with torch.device("meta"):
            assert any(mark in key for key in build().state_dict()), name
        built.append(name)
    assert len(built) == len(set(built)) == 25


def test_without_keys_that_are_known_none_is_tried():
    assert fitting_backbones(lambda backbone: True, ["a", "b"]) == []


def test_networks_that_cannot_fit_are_not_built():
    tried = []
    with torch.device("meta"):
        keys = list(ResNet20().state_dict())
    fitting_backbones(lambda backbone: bool(tried.append(type(backbone))), keys)
    assert tried == [ResNet20]
    with torch.device("meta"):
        keys = list(ResNet56().state_dict())
    tried.clear()
    fitting_backbones(lambda backbone: bool(tried.append(type(backbone).__name__)), keys)
    assert tried == ["ResNet20", "ResNet32", "ResNet44", "ResNet56"]

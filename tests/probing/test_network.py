"""A file's weights in a backbone, its classifier left aside."""

import pytest
import torch
from torch import nn

from lt_lightning import checkpoints
from lt_lightning.backbones import Identity, ResNet20, ResNet32, SmallCNN, TorchvisionBackbone
from lt_lightning.checkpoints import PUBLISHED, UNKNOWN
from lt_lightning.errors import UsageError
from lt_lightning.probing.network import load_backbone, past_of_network


def write(path, backbone, **others):
    tensors = {f"encoder.{key}": value for key, value in backbone.state_dict().items()}
    for name, module in others.items():
        tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    torch.save({"state_dict": tensors}, path)
    return str(path)


def test_weights_come_in_and_the_rest_is_named(tmp_path):
    given, backbone = SmallCNN(8), SmallCNN(8)
    said = load_backbone(write(tmp_path / "m.pth", given, head=nn.Linear(8, 77)), backbone)
    assert all(torch.equal(value, given.state_dict()[key]) for key, value in backbone.state_dict().items())
    assert "backbone tensors matched under the prefix 'encoder.'; left aside: 'head.weight', 'head.bias'" in said


def test_a_network_that_asks_for_its_version_is_read(tmp_path):
    given, backbone = (TorchvisionBackbone("mnasnet0_5") for _ in range(2))
    load_backbone(write(tmp_path / "m.pth", given), backbone)
    assert torch.equal(backbone.model.layers[0].weight, given.model.layers[0].weight)


def test_a_copy_is_left_aside_and_said(tmp_path):
    given, backbone = SmallCNN(8), SmallCNN(8)
    said = load_backbone(write(tmp_path / "m.pth", given, ema=SmallCNN(8)), backbone)
    assert said.endswith("under the prefix 'encoder.' (copies under 'ema.' left aside)")
    assert all(torch.equal(value, given.state_dict()[key]) for key, value in backbone.state_dict().items())


def test_a_deeper_network_is_refused_with_the_one_that_fits(tmp_path):
    path = write(tmp_path / "m.pth", ResNet32())
    with pytest.raises(UsageError, match=r"does not fit `backbone` ResNet20 .* it fits ResNet32\."):
        load_backbone(path, ResNet20())


def test_a_part_is_enough_only_on_demand(tmp_path):
    path = tmp_path / "m.pth"
    given = SmallCNN(8)
    part = dict(list(given.state_dict().items())[:2])
    torch.save(part, path)
    with pytest.raises(UsageError, match=r"set `allow_partial` to true"):
        load_backbone(str(path), SmallCNN(8))
    backbone = SmallCNN(8)
    said = load_backbone(str(path), backbone, allow_partial=True)
    assert "2 of 15 backbone tensors match; 13 missing: 'layers." in said
    assert all(torch.equal(backbone.state_dict()[key], value) for key, value in part.items())


def test_what_a_network_has_been_trained_on(tmp_path, stage1):
    backbone = SmallCNN(8)
    path = write(tmp_path / "m.pth", backbone)
    assert past_of_network(backbone, path) == [UNKNOWN]
    assert past_of_network(backbone, str(stage1)) == checkpoints.read(stage1).origins
    assert past_of_network(backbone, None) == [UNKNOWN]  # a backbone of one's own has read its weights itself
    assert past_of_network(Identity(8), None) == []
    backbone.published_transform = {"mean": (0.5,), "std": (0.5,)}
    assert past_of_network(backbone, None) == [PUBLISHED]
    assert past_of_network(backbone, path) == [UNKNOWN]
    assert past_of_network(backbone, path, allow_partial=True) == [UNKNOWN, PUBLISHED]
    backbone.weights_file = path
    assert past_of_network(backbone, None) == [UNKNOWN]
    assert past_of_network(backbone, str(stage1), allow_partial=True) == [*checkpoints.read(stage1).origins, UNKNOWN]

"""A deeper network, told from a classifier of other classes."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from lt_lightning import checkpoints
from lt_lightning.backbones import ResNet20, ResNet32, TorchvisionBackbone
from lt_lightning.checkpoints import Checkpoint


def left_over(tensors, backbone):
    return checkpoints.deeper_layers(checkpoints.match(Checkpoint(Path("f.pth"), dict(tensors), "made"), backbone))


def named(prefix, module):
    return {f"{prefix}{key}": tensor for key, tensor in module.state_dict().items()}


@pytest.fixture(autouse=True)
def _shapes_alone():
    with torch.device("meta"):
        yield


@pytest.mark.parametrize("prefix", ["", "module.encoder_q."])
def test_a_classifier_of_other_classes_or_a_projection_head_is_none(prefix):
    network = named(prefix, ResNet32())
    projection = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 16))
    assert left_over(network, ResNet32()) == []
    assert left_over(network | named(f"{prefix}fc.", nn.Linear(64, 1000)), ResNet32()) == []
    assert left_over(network | named(f"{prefix}projector.", projection), ResNet32()) == []


def test_a_deeper_network_is_one():
    extra = left_over(named("module.", ResNet32()), ResNet20())
    assert extra[0] == "module.layer1.3.conv1.weight"
    assert len(extra) == 2 * 3 * 12  # blocks of two convolutions and normalisations, in each of three groups


def test_copies_of_the_network_are_none():
    assert left_over(named("", ResNet32()) | named("ema.", ResNet32()), ResNet32()) == []


@pytest.mark.parametrize("name", ["vgg11", "alexnet", "mobilenet_v2", "convnext_tiny", "vit_b_16", "swin_t"])
def test_the_last_layer_of_torchvisions_is_none(name):
    whole = torchvision.models.get_model(name)
    assert left_over(whole.state_dict(), TorchvisionBackbone(name)) == []

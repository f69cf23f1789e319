"""Wide residual networks."""

import pytest
import torch
from torch import nn

from lt_lightning.backbones import WideResNet
from lt_lightning.backbones.wide_resnet import WideBlock
from lt_lightning.errors import UsageError


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("depth", "widen_factor", "millions"),  # Zagoruyko & Komodakis, Table 4
    [
        (40, 1, 0.6),
        (40, 2, 2.2),
        (40, 4, 8.9),
        (40, 8, 35.7),
        (28, 10, 36.5),
        (28, 12, 52.5),
        (22, 8, 17.2),
        (16, 8, 11.0),
    ],
)
def test_depth_and_size_are_those_of_the_paper(depth, widen_factor, millions):
    with torch.device("meta"):
        net = WideResNet(depth, widen_factor)
    assert net.num_features == 64 * widen_factor
    with_classifier = parameters(net) + 10 * net.num_features + 10
    assert with_classifier / 1e6 == pytest.approx(millions, abs=0.06)
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)]
    assert len(layers) == depth - 3  # the paper counts the classifier and two of the three projections as well


def test_the_default_is_wrn_28_10_without_dropout():
    with torch.device("meta"):
        net = WideResNet()
        features = net(torch.empty(2, 3, 32, 32))
    assert parameters(net) + 10 * 640 + 10 == 36_479_194  # as the published script prints it
    assert features.shape == (2, 640)
    assert {module.dropout for module in net.modules() if isinstance(module, WideBlock)} == {0.0}


def test_map_sizes_halve_twice_and_keys_are_the_published_ones():
    net = WideResNet(10, 2, in_channels=1).eval()
    shapes = []
    for block in (net.block1, net.block2, net.block3):
        block.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    assert net(torch.randn(1, 1, 32, 32)).shape == (1, 128)
    assert shapes == [(32, 32, 32), (64, 16, 16), (128, 8, 8)]
    weights = [key for key in net.state_dict() if key.startswith("block1") and key.endswith("weight")]
    assert weights == [f"block1.layer.0.{name}.weight" for name in ("bn1", "conv1", "bn2", "conv2", "convShortcut")]


def test_shortcut_is_the_input_or_a_convolution_of_the_activated_input():
    x = torch.randn(2, 4, 6, 6)
    same = WideBlock(4, 4, 1, 0.0).eval()
    nn.init.zeros_(same.conv2.weight)  # what is left is the shortcut alone
    assert torch.equal(same(x), x)
    wider = WideBlock(4, 6, 2, 0.0).eval()
    nn.init.zeros_(wider.conv2.weight)
    torch.testing.assert_close(wider(x), wider.convShortcut(wider.bn1(x).relu()))


def test_dropout_acts_in_training_alone():
    torch.manual_seed(0)
    net = WideResNet(10, 1, dropout=0.5)
    images = torch.randn(2, 3, 8, 8)
    assert not torch.equal(net(images), net(images))
    net.eval()
    assert torch.equal(net(images), net(images))


def test_convolutions_start_from_kaiming_normal_over_outputs():
    torch.manual_seed(0)
    weight = WideResNet(10, 2).block3.layer[0].conv1.weight
    assert weight.shape == (128, 64, 3, 3)
    assert weight.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"depth": 27}, "`depth` must be 6 · blocks \\+ 4, such as 16, 28 or 40, but got 27"),
        ({"depth": 4}, "`depth` must be"),
        ({"widen_factor": 0}, "`widen_factor` must be at least 1, but got 0"),
        ({"dropout": 1.0}, r"`dropout` must lie in \[0, 1\), but got 1.0"),
    ],
)
def test_impossible_sizes_are_refused(arguments, sentence):
    with pytest.raises(UsageError, match=sentence):
        WideResNet(**arguments)

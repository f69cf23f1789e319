"""LGL-INR's networks for images of MNIST's kind."""

import pytest
import torch
from torch import nn

from lt_lightning.backbones import CNN2C, CNN5C
from lt_lightning.errors import UsageError


def map_shapes(net, images):
    shapes = []
    for layer in net.layers:
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AdaptiveMaxPool2d)):
            layer.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:3])))
    net(images)
    return shapes


def test_cnn2c_has_the_800_features_of_the_table():
    net = CNN2C()
    assert net.num_features == 800
    assert map_shapes(net, torch.rand(1, 1, 28, 28)) == [(20, 24), (20, 12), (50, 8), (50, 4)]
    assert sum(parameter.numel() for parameter in net.parameters()) == (25 + 1) * 20 + (20 * 25 + 1) * 50


def test_cnn5c_has_the_512_features_of_the_table():
    net = CNN5C()
    expected = [(32, 26), (64, 24), (128, 22), (128, 11), (256, 9), (512, 7), (512, 1)]
    assert map_shapes(net, torch.rand(2, 1, 28, 28)) == expected
    kernels = 9 * (32 + 32 * 64 + 64 * 128 + 128 * 256 + 256 * 512)
    assert sum(parameter.numel() for parameter in net.parameters()) == kernels + 128 + 512 + 2 * (32 + 64 + 256)
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in net.layers) == 3


def test_cnn5c_ends_in_the_maximum_of_each_map():
    net = CNN5C().eval()
    images = torch.rand(2, 1, 16, 18)
    with torch.no_grad():
        maps = net.layers[:-1](images)
        assert maps.shape == (2, 512, 1, 2)
        torch.testing.assert_close(net(images), maps.amax(dim=(2, 3)))


def test_cnn2c_of_other_images():
    net = CNN2C(in_channels=3, image_size=32)
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, net.num_features) == (2, 50 * 5 * 5)


def test_images_of_another_size_are_refused():
    with pytest.raises(UsageError, match="`image_size` of `CNN2C` is 28, but an image has 32×30 pixels; set it to"):
        CNN2C()(torch.rand(1, 1, 32, 30))
    with pytest.raises(UsageError, match="`image_size` must be at least 16 pixels, but got 8; take `SmallCNN`"):
        CNN2C(image_size=8)
    with pytest.raises(UsageError, match="`image_size` must be at least 16 pixels, but got 15"):
        CNN5C()(torch.rand(1, 1, 28, 15))

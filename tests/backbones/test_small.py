"""The network for digits."""

import pytest
import torch

from lt_lightning.backbones import SmallCNN


@pytest.mark.parametrize(("num_features", "in_channels"), [(8, 1), (64, 3)])
def test_number_of_parameters_follows_from_the_widths(num_features, in_channels):
    half, full = num_features // 2, num_features
    convolutions = 9 * (in_channels * half + half * full + full * full)
    normalisation = 2 * (half + full + full)
    net = SmallCNN(num_features, in_channels)
    assert sum(parameter.numel() for parameter in net.parameters()) == convolutions + normalisation


def test_features_are_means_over_the_image():
    net = SmallCNN(8).eval()
    images = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        maps = net.layers[:-1](images)
        assert maps.shape == (3, 8, 4, 4)
        torch.testing.assert_close(net(images), maps.mean(dim=(2, 3)))
    assert (net(images) >= 0).all()  # after the last ReLU

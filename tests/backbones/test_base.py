"""What holds for every backbone."""

import pytest
import torch

from lt_lightning.backbones import CNN2C, CNN5C, Backbone, ResNet20, SmallCNN, TorchvisionBackbone, WideResNet


def test_a_backbone_must_say_how_it_makes_features():
    class Silent(Backbone):
        num_features = 3

    with pytest.raises(TypeError, match=r"abstract method.*forward"):
        Silent()


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: SmallCNN(8), (1, 8, 8)),
        (lambda: SmallCNN(6, in_channels=3), (3, 11, 9)),
        (lambda: ResNet20(), (3, 32, 32)),
        (lambda: ResNet20(in_channels=1), (1, 28, 28)),
        (lambda: CNN2C(), (1, 28, 28)),
        (lambda: CNN5C(in_channels=3), (3, 20, 20)),
        (lambda: WideResNet(10, 1), (3, 16, 16)),
        (lambda: TorchvisionBackbone("resnet18", cifar_stem=True), (3, 32, 32)),
        (lambda: TorchvisionBackbone("mobilenet_v2", cifar_stem=True), (3, 16, 16)),
    ],
)
def test_feature_vectors_have_the_announced_length_and_train_every_parameter(make, shape):
    backbone = make()
    features = backbone(torch.randn(2, *shape))
    assert features.shape == (2, backbone.num_features)
    features.sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())

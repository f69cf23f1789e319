"""What holds for every backbone."""

import pytest
import torch

from lt_lightning.backbones import CNN2C, CNN5C, Backbone, ResNet20, SmallCNN, TorchvisionBackbone, WideResNet
from lt_lightning.backbones.base import features_of
from lt_lightning.errors import UsageError
from lt_lightning.main import main


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


def test_images_of_other_channels_are_refused_in_a_sentence(here, tiny):
    backbone = SmallCNN(8)
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(features_of(backbone, images[:, :1]), backbone(images[:, :1]))
    with pytest.raises(UsageError, match=r"`backbone` SmallCNN takes images of 1 channel\(s\), but the data's have 3;"):
        features_of(backbone, images)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):  # another mistake is its own
        features_of(torch.nn.Sequential(torch.nn.Conv2d(3, 1, 1), torch.nn.Flatten(), torch.nn.Linear(3, 1)), images)
    with pytest.raises(UsageError, match=r"`backbone` SmallCNN takes images of 3 channel\(s\), but the data's have 1;"):
        main(tiny("fit", "RepresentationModule", "--model.backbone.in_channels=3", "--trainer.max_epochs=1"))


@pytest.mark.parametrize(
    ("name", "found"),
    [("alexnet", ".*Output size is too small"), ("vit_b_16", "Wrong image height! Expected 224 but got 32")],
)
def test_images_of_other_sizes_are_refused_in_a_sentence(name, found):
    with torch.device("meta"):
        backbone, images = TorchvisionBackbone(name), torch.empty(2, 3, 32, 24)
    with pytest.raises(
        UsageError, match=rf"Backbone does not take images of 32 × 24 \({found}\); give another `data.im"
    ):
        features_of(backbone, images)


def test_errors_that_are_not_about_sizes_or_in_code_of_ones_own_stay_as_they_are():
    with torch.device("meta"):
        elsewhere = TorchvisionBackbone("resnet18")
    with pytest.raises(RuntimeError, match="meta"):
        features_of(elsewhere, torch.zeros(2, 3, 32, 32))

    class Mine(Backbone):
        num_features = 1

        def forward(self, images):
            assert images.shape[2] == 7, "another height"

    with pytest.raises(AssertionError, match="another height"):
        features_of(Mine(), torch.zeros(2, 3, 32, 32))

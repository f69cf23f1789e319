"""What holds for every backbone."""

import pytest
import torch

from lt_lightning.backbones import CNN2C, CNN5C, Backbone, ResNet20, SmallCNN, TorchvisionBackbone, WideResNet
from lt_lightning.backbones.base import features_of, in_type_of_weights, type_of_weights
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


def test_one_image_whose_maps_have_one_pixel_cannot_be_normalised_over_a_batch():
    with torch.device("meta"):
        backbone, images = TorchvisionBackbone("resnet18"), torch.empty(2, 3, 32, 32)
    with pytest.raises(UsageError, match=r"Backbone normalises features or maps .* another `data.batch_size`"):
        features_of(backbone, images[:1])
    assert features_of(backbone, images).shape == (2, 512)
    assert features_of(backbone.eval(), images[:1]).shape == (1, 512)

    class Mine(Backbone):
        num_features = 1

        def forward(self, images):
            raise ValueError("one image")

    with pytest.raises(ValueError, match=r"^one image$"):
        features_of(Mine(), images[:1])


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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_inputs_come_in_the_type_of_the_weights_and_indices_as_they_are(dtype):
    backbone = SmallCNN(8).to(dtype)
    assert type_of_weights(backbone) == dtype
    assert type_of_weights(torch.nn.EmbeddingBag(3, 2).to(dtype)) == dtype
    for exact in (torch.arange(256, dtype=torch.uint8), torch.tensor([True, False]), torch.arange(9).short()):
        found = in_type_of_weights(exact, dtype)
        assert found.dtype == dtype
        assert torch.equal(found.to(exact.dtype), exact)
    assert in_type_of_weights(torch.randn(3, dtype=torch.float64), dtype).dtype == dtype
    for indices in (torch.int32, torch.int64):
        given = torch.tensor([1, 101]).to(indices)
        assert in_type_of_weights(given, dtype) is given


def test_a_network_without_weights_takes_fp32():
    assert type_of_weights(torch.nn.Flatten()) == torch.float32


@pytest.mark.parametrize(
    ("inputs", "found"),
    [({"ids": 1, "mask": 2}, "a dictionary with 'ids', 'mask'"), ((torch.zeros(2),), r"a tuple of Tensor \(2,\)")],
)
def test_inputs_that_are_no_tensor_are_named(inputs, found):
    with pytest.raises(UsageError, match=rf"`to_input` of the data must give one tensor, but gave {found}; put all"):
        in_type_of_weights(inputs, torch.float32)


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (torch.nn.Linear(3, 2), torch.ones(4, 3, dtype=torch.int64)),
        (torch.nn.Conv2d(3, 2, 1), torch.ones(4, 3, 2, 2, dtype=torch.int32)),
        (torch.nn.EmbeddingBag(3, 2), torch.ones(4, 3, dtype=torch.int16)),
        (torch.nn.LayerNorm(3), torch.ones(4, 3, dtype=torch.int64)),
        (torch.nn.BatchNorm1d(3), torch.ones(4, 3, dtype=torch.int64)),
    ],
)
def test_whole_numbers_of_a_type_that_is_not_taken_are_named(network, inputs):
    name, dtype = type(network).__name__, inputs.dtype
    with pytest.raises(UsageError, match=rf"`backbone` {name} does not take inputs in {dtype} \(.*`images.float\(\)`"):
        features_of(network, inputs)
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes"):  # another mistake is its own
        features_of(torch.nn.Linear(3, 2), torch.ones(4, 5))

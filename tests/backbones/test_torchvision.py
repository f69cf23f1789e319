"""torchvision's classifiers as backbones."""

from urllib.error import URLError

import pytest
import torch
import torchvision
from torch import nn

from lt_lightning.backbones import TorchvisionBackbone, without_published_weights
from lt_lightning.errors import UsageError


def map_sizes(backbone, size):
    sizes = []
    for layer in (backbone.model.layer1, backbone.model.layer2, backbone.model.layer3, backbone.model.layer4):
        layer.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[-1]))
    backbone(torch.randn(1, 3, size, size))
    return sizes


def test_cifar_stem_keeps_the_resolution_of_small_images():
    backbone = TorchvisionBackbone("resnet34", cifar_stem=True).eval()
    stem = backbone.model.conv1
    assert (stem.kernel_size, stem.stride, stem.padding, stem.bias) == ((3, 3), (1, 1), (1, 1), None)
    assert not any(isinstance(module, nn.MaxPool2d) for module in backbone.modules())
    assert backbone.num_features == 512
    assert map_sizes(backbone, 32) == [32, 16, 8, 4]
    # He et al.'s ResNet-34 without classifier, its stem's 3·64·7·7 weights exchanged for 3·64·3·3.
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 21_797_672 - 513_000 - 64 * 3 * (49 - 9)


def sizes_at(backbone, paths, pixels=32):
    """Sizes of the maps that layers give, on the meta device."""
    sizes = []
    for path in paths:
        layer = backbone.model.get_submodule(path)
        layer.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[-1]))
    backbone(torch.empty(2, 3, pixels, pixels, device="meta"))
    return sizes


def test_mobilenet_with_cifar_stem_leaves_out_two_halvings():
    paths = ("features.0", "features.1", "features.2", "features.4", "features.7", "features.14", "features.18")
    with torch.device("meta"):
        small, plain = TorchvisionBackbone("mobilenet_v2", cifar_stem=True), TorchvisionBackbone("mobilenet_v2")
    assert sizes_at(small, paths) == [32, 32, 32, 16, 8, 4, 4]
    assert sizes_at(plain, paths) == [16, 16, 8, 4, 2, 1, 1]
    # torchvision's MobileNetV2 without classifier: strides have no weights.
    assert sum(parameter.numel() for parameter in small.parameters()) == 3_504_872 - 1_281_000
    assert small.num_features == 1280


@pytest.mark.parametrize(
    ("name", "whole", "num_features"),
    [("densenet201", 20_013_928, 1920), ("densenet121", 7_978_856, 1024)],
)
def test_densenets_with_cifar_stem_leave_out_two_halvings(name, whole, num_features):
    with torch.device("meta"):
        backbone = TorchvisionBackbone(name, cifar_stem=True)
    transitions = [f"features.transition{number}" for number in (1, 2, 3)]
    assert sizes_at(backbone, ["features.conv0", *transitions, "features.norm5"]) == [32, 16, 8, 4, 4]
    classifier = 1000 * num_features + 1000
    assert sum(parameter.numel() for parameter in backbone.parameters()) == whole - classifier - 64 * 3 * (49 - 9)
    assert backbone.num_features == num_features


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mobilenet_v2"])
def test_cifar_stem_keeps_torchvisions_names(name):
    with torch.device("meta"):
        small, plain = TorchvisionBackbone(name, cifar_stem=True), TorchvisionBackbone(name)
    assert list(small.state_dict()) == list(plain.state_dict())


def test_original_stem_reduces_fourfold():
    assert map_sizes(TorchvisionBackbone("resnet18").eval(), 64) == [16, 8, 4, 2]


@pytest.mark.parametrize(("name", "fan"), [("resnet18", 64 * 9), ("densenet121", 3 * 9)])
def test_cifar_stem_starts_as_torchvision_starts_convolutions(name, fan):
    torch.manual_seed(0)
    weight = next(TorchvisionBackbone(name, cifar_stem=True).parameters())
    assert weight.shape == (64, 3, 3, 3)
    assert weight.std().item() == pytest.approx((2 / fan) ** 0.5, rel=0.05)


@pytest.mark.parametrize(
    ("name", "num_features", "size"),
    [
        ("resnext50_32x4d", 2048, 224),
        ("mobilenet_v2", 1280, 32),
        ("efficientnet_b0", 1280, 64),
        ("convnext_tiny", 768, 64),
        ("mnasnet0_5", 1280, 64),
        ("vgg11", 4096, 224),
        ("vit_b_16", 768, 224),
    ],
)
def test_families_lose_their_last_linear_layer_only(name, num_features, size):
    with torch.device("meta"):
        backbone = TorchvisionBackbone(name)
        whole = torchvision.models.get_model(name)
        features = backbone(torch.empty(2, 3, size, size))
    assert features.shape == (2, num_features)
    assert backbone.num_features == num_features
    kept = {f"model.{key}" for key in whole.state_dict()} - set(backbone.state_dict())
    assert {key.rpartition(".")[2] for key in kept} == {"weight", "bias"}
    assert len(kept) == 2


def test_features_are_what_the_classifier_took():
    backbone = TorchvisionBackbone("mobilenet_v2").eval()
    whole = torchvision.models.mobilenet_v2().eval()
    missing, unexpected = whole.load_state_dict(backbone.model.state_dict(), strict=False)
    assert missing == ["classifier.1.weight", "classifier.1.bias"]
    assert not unexpected
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(whole.classifier[1](backbone(images)), whole(images))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"name": "resnet33"},
            "`name` must be a torchvision classification model, but got 'resnet33'; did you mean resnet",
        ),
        ({"name": "fasterrcnn_resnet50_fpn"}, "`name` must be a torchvision classification model"),
        ({"name": "?"}, "but got '\\?'; there are alexnet, .* more"),
        ({"name": "resnet18", "weights": "V9"}, r"`weights` of 'resnet18' must be one of \['IMAGENET1K_V1'\] or null"),
        (
            {"name": "resnet18", "weights": "IMAGENET1K_V1", "cifar_stem": True},
            "'IMAGENET1K_V1' belong to the original stem of 'resnet18'; leave out `weights` or `cifar_stem`",
        ),
        (
            {"name": "vgg11", "cifar_stem": True},
            "`cifar_stem` is defined for torchvision's ResNets, DenseNets and MobileNetV2, but got 'vgg11'; set it to",
        ),
        ({"name": "squeezenet1_1"}, "`name` must be a model with one linear classifier.*'squeezenet1_1' has none such"),
    ],
)
def test_what_cannot_be_a_backbone_is_refused(arguments, sentence):
    with torch.device("meta"), pytest.raises(UsageError, match=sentence):
        TorchvisionBackbone(**arguments)


@pytest.mark.parametrize(("name", "size"), [("googlenet", 32), ("inception_v3", 75)])
def test_auxiliary_classifiers_are_left_out(name, size):
    """Those of a whole network's file train alone; what it gives in evaluation comes from the features."""
    whole = torchvision.models.get_model(name, num_classes=6, aux_logits=True, init_weights=False).eval()
    backbone = TorchvisionBackbone(name)
    missing, unexpected = backbone.model.load_state_dict(whole.state_dict(), strict=False)
    assert not missing
    assert {key.partition(".")[0] for key in unexpected} - {"aux1", "aux2", "AuxLogits"} == {"fc"}
    images = torch.randn(2, 3, size, size)
    torch.testing.assert_close(whole.fc(backbone.eval()(images)), whole(images))
    assert backbone.train()(images).shape == (2, backbone.num_features)


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("resnet18", "DEFAULT"),
        ("resnet18", "ResNet18_Weights.IMAGENET1K_V1"),
        ("vit_b_16", "IMAGENET1K_SWAG_E2E_V1"),  # made for images of 384 pixels
        ("googlenet", "IMAGENET1K_V1"),  # for images of another normalisation, without auxiliary classifiers
        ("inception_v3", "IMAGENET1K_V1"),
        ("maxvit_t", "IMAGENET1K_V1"),
    ],
)
def test_where_a_checkpoint_follows_none_are_fetched_and_the_network_is_theirs(monkeypatch, name, weights):
    asked, kept = [], nn.Module.load_state_dict

    def published(kind, *args, **kwargs):
        asked.append(kind)

    def load(module, tensors, *args, **kwargs):
        return None if tensors is None else kept(module, tensors, *args, **kwargs)

    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", published)
    monkeypatch.setattr(nn.Module, "load_state_dict", load)
    with torch.device("meta"):
        fetched = TorchvisionBackbone(name, weights=weights)
        assert len(asked) == 1
        with without_published_weights():
            made = TorchvisionBackbone(name, weights=weights)
    assert len(asked) == 1
    used_to = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    assert fetched.published_transform == made.published_transform == used_to
    shapes = [{key: value.shape for key, value in one.state_dict().items()} for one in (fetched, made)]
    assert shapes[0] == shapes[1]
    assert getattr(fetched.model, "transform_input", None) == getattr(made.model, "transform_input", None)


@pytest.mark.parametrize("name", ["resnet18", "googlenet"])
def test_weights_that_there_are_not_are_named_where_a_checkpoint_follows_too(name):
    with without_published_weights(), pytest.raises(UsageError, match=rf"`weights` of '{name}' must be one of"):
        TorchvisionBackbone(name, weights="gone")


def test_weights_that_cannot_be_fetched_are_named(monkeypatch, tmp_path):
    def offline(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(UsageError, match=r"`weights` 'DEFAULT' of 'resnet18' cannot be fetched: .*no route .*internet"):
        TorchvisionBackbone("resnet18", weights="DEFAULT")

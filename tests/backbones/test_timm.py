"""timm's models as backbones."""

import sys

import pytest
import torch

from lt_lightning.backbones import TimmBackbone, without_published_weights
from lt_lightning.backbones.base import features_of
from lt_lightning.errors import UsageError


def test_without_timm_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r'`TimmBackbone` needs timm, .*`pip install "lt_lightning\[timm\]"`'):
        TimmBackbone("resnet18")


@pytest.mark.parametrize(
    ("name", "arguments", "shape", "num_features"),
    [
        ("resnet18.a1_in1k", {}, (3, 64, 64), 512),
        ("resnet18", {"in_channels": 1}, (1, 64, 64), 512),
        ("convnext_atto", {}, (3, 64, 64), 320),
        ("mobilenetv3_small_050", {}, (3, 64, 64), 1024),  # a layer between pooling and classifier
        ("vit_tiny_patch16_224", {"options": {"img_size": 32}}, (3, 32, 32), 192),
    ],
)
def test_feature_vectors_have_the_announced_length(name, arguments, shape, num_features):
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        backbone = TimmBackbone(name, **arguments)
        whole = timm.create_model(name, in_chans=shape[0], **arguments.get("options", {}))
        assert backbone(torch.empty(2, *shape)).shape == (2, num_features)
    assert backbone.num_features == num_features == whole.get_classifier().in_features
    kept = set(whole.state_dict()) - {key.removeprefix("model.") for key in backbone.state_dict()}
    assert {key.rpartition(".")[2] for key in kept} == {"weight", "bias"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "resnet17"}, "`name` must be a model that timm knows, but got 'resnet17'; close to it are resnet1"),
        ({"name": "§"}, r"but got '§'; `timm.list_models\(\)` names all"),
        ({"name": "resnet18", "options": {"num_classes": 7}}, "`options` may not hold 'num_classes', which"),
        ({"name": "resnet18", "options": {"colour": "red"}}, "cannot make 'resnet18' with .* 'red'}: .*colour"),
    ],
)
def test_what_cannot_be_made_is_refused(arguments, sentence):
    pytest.importorskip("timm")
    with torch.device("meta"), pytest.raises(UsageError, match=sentence):
        TimmBackbone(**arguments)


def test_where_a_checkpoint_follows_none_are_fetched(monkeypatch):
    timm = pytest.importorskip("timm")
    asked, make = [], timm.create_model

    def create(name, pretrained, **options):
        asked.append(pretrained)
        return make(name, False, **options)

    monkeypatch.setattr(timm, "create_model", create)
    with torch.device("meta"):
        TimmBackbone("resnet18", pretrained=True)
        with without_published_weights():
            TimmBackbone("resnet18", pretrained=True)
        assert asked == [True, False]
        used_to = TimmBackbone("vit_tiny_patch16_224", pretrained=True).published_transform
        at_random = TimmBackbone("vit_tiny_patch16_224").published_transform
    assert used_to == {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    assert at_random == {}


def test_weights_of_a_file_are_said(tmp_path):
    timm = pytest.importorskip("timm")
    file = str(tmp_path / "mine.pth")
    torch.save(timm.create_model("test_resnet", num_classes=0).state_dict(), file)
    named = {"pretrained_cfg_overlay": {"file": file, "num_classes": 0}}
    mine = torch.load(file, weights_only=True)
    for pretrained, options in ((False, {"checkpoint_path": file}), (True, named)):
        backbone = TimmBackbone("test_resnet", pretrained, options=options)
        assert backbone.weights_file == file
        assert all(torch.equal(value, mine[key]) for key, value in backbone.model.state_dict().items())
    assert TimmBackbone("test_resnet", options=named).weights_file is None  # which timm has not looked at
    assert TimmBackbone("test_resnet").weights_file is None


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        (
            "vit_tiny_patch16_384",
            {"depth": 1},
            r"TimmBackbone does not take images of 32 × 32 \(Input height \(32\) doesn't match model \(384\)\); "
            r"give `data.image_size` 384, which it is made for, or, unless .* as `backbone.options.img_size`\.$",
        ),
        ("vit_tiny_patch16_384", {"depth": 1, "img_size": 48}, "give `data.image_size` 48, which it is made for"),
        ("levit_128s", {}, "give `data.image_size` 224, which it is made for"),  # no assertion, but PyTorch's error
        ("inception_v3", {}, r"give another `data.image_size`, such as 299\.$"),
    ],
)
def test_of_images_of_another_size_the_right_one_is_said(name, options, sentence):
    pytest.importorskip("timm")
    with torch.device("meta"):
        backbone, images = TimmBackbone(name, options=options), torch.empty(2, 3, 32, 32)
    with pytest.raises(UsageError, match=sentence):
        features_of(backbone, images)


def test_a_model_that_says_no_size_gets_plain_advice():
    pytest.importorskip("timm")
    with torch.device("meta"):
        backbone = TimmBackbone("test_resnet")
    del backbone.model.pretrained_cfg
    assert backbone.size_advice() == "give another `data.image_size`"

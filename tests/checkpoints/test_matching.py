"""Backbones held against files."""

import pytest
import torch
import torchvision

from lt_lightning import checkpoints
from lt_lightning.backbones import ResNet20, ResNet32, ResNet56, SmallCNN, TimmBackbone, TorchvisionBackbone
from lt_lightning.checkpoints.leftovers import unexpected


@pytest.fixture
def whole_of(in_memory):
    def make(backbone, **extra):
        with torch.device("meta"):
            return in_memory({**backbone().state_dict(), **{key: torch.empty(shape) for key, shape in extra.items()}})

    return make


@pytest.mark.parametrize(
    ("prefix", "classifier"),
    [
        ("", "fc."),
        ("module.", "module.linear."),
        ("backbone._orig_mod.", "head."),
        ("module.backbone.net.", "module.head.1."),
        ("module._fsdp_wrapped_module.", "module._fsdp_wrapped_module.fc."),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_prefixes_are_inferred(tmp_path, backbone, network, prefix, classifier, bias):
    tensors = network(backbone, prefix=prefix, classifier=classifier, bias=bias)
    torch.save(tensors, tmp_path / "x.pth")
    source = checkpoints.read(tmp_path / "x.pth")
    fresh = SmallCNN(8)
    found = checkpoints.match(source, fresh)
    assert (found.missing, found.misshapen, len(found.tensors)) == ([], [], found.total)
    linear = checkpoints.find_classifier(found, 8, 10, source.path)
    assert linear.name == classifier.replace("_orig_mod.", "").replace("_fsdp_wrapped_module.", "").rstrip(".")
    assert torch.equal(linear.weight, tensors[f"{classifier}weight"])
    assert torch.equal(linear.bias, tensors[f"{classifier}bias"]) if bias else linear.bias is None
    assert unexpected(found, linear) == []
    fresh.load_state_dict(found.tensors)
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(fresh.eval()(images), backbone.eval()(images))


@pytest.mark.parametrize("copies", ["ema_model.", "a_teacher.", "encoder_k."])
def test_of_two_copies_the_network_itself_is_taken(backbone, network, in_memory, copies):
    average = network(SmallCNN(8), prefix=copies, classifier=f"{copies}fc.")
    tensors = network(backbone, prefix="encoder_q.", classifier="encoder_q.fc.")
    found = checkpoints.match(in_memory(average | tensors), backbone)
    assert (found.prefix, found.copies) == ("encoder_q.", [copies])
    assert all(torch.equal(found.tensors[key], value) for key, value in backbone.state_dict().items())
    linear = checkpoints.find_classifier(found, 8, 10, found.source.path)
    assert linear.name == "encoder_q.fc"
    assert unexpected(found, linear) == []


def test_of_two_prefixes_the_one_with_the_right_shapes_is_taken(backbone, network, in_memory):
    tensors = network(SmallCNN(8, in_channels=3), prefix="a.") | network(backbone, prefix="bb.")
    found = checkpoints.match(in_memory(tensors), backbone)
    assert (found.prefix, found.misshapen, found.copies) == ("bb.", [], [])


def test_a_wrapper_within_a_file_is_no_copy(in_memory):
    with torch.device("meta"):
        deeper, wrapper = TorchvisionBackbone("resnet34"), TorchvisionBackbone("resnet18")
    tensors = {f"backbone.{key}": value for key, value in deeper.state_dict().items()}
    found = checkpoints.match(in_memory({**tensors, "head.weight": torch.ones(10, 512)}), deeper)
    assert (found.prefix, found.copies, list(found.rest)) == ("backbone.", [], ["head.weight"])
    found = checkpoints.match(in_memory({**tensors, "head.weight": torch.ones(10, 512)}), wrapper)
    extra = unexpected(found, checkpoints.find_classifier(found, 512, 10, found.source.path))
    assert (found.missing, found.misshapen, found.copies) == ([], [], [])
    assert extra[0] == "backbone.model.layer1.2.conv1.weight"


def test_a_plain_torchvision_file_fits_its_wrapper(in_memory):
    with torch.device("meta"):
        wrapper = TorchvisionBackbone("resnet18")
        found = checkpoints.match(in_memory(torchvision.models.resnet18().state_dict()), wrapper)
    assert (found.missing, found.misshapen, found.prefix) == ([], [], "")
    assert set(found.tensors) == set(wrapper.state_dict())
    assert set(found.rest) == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize(
    ("name", "classifier"),
    [
        ("vit_b_16", "heads.head"),
        ("efficientnet_b0", "classifier.1"),
        ("swin_t", "head"),
        ("densenet121", "classifier"),
    ],
)
def test_torchvisions_classifiers_are_found(in_memory, name, classifier):
    with torch.device("meta"):
        wrapper, whole = TorchvisionBackbone(name), torchvision.models.get_model(name)
    found = checkpoints.match(in_memory({f"module.{key}": value for key, value in whole.state_dict().items()}), wrapper)
    linear = checkpoints.find_classifier(found, wrapper.num_features, 1000, found.source.path)
    assert (found.missing, found.misshapen, linear.name) == ([], [], f"module.{classifier}")
    assert unexpected(found, linear) == []


@pytest.mark.parametrize(
    ("name", "classifier"),
    [
        ("resnet18", "fc"),
        ("convnext_atto", "head.fc"),
        ("vit_tiny_patch16_224", "head"),
        ("mobilenetv3_small_050", "classifier"),
    ],
)
def test_timms_files_are_read(in_memory, name, classifier):
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        wrapper, whole = TimmBackbone(name), timm.create_model(name)
    found = checkpoints.match(in_memory(whole.state_dict()), wrapper)
    linear = checkpoints.find_classifier(found, wrapper.num_features, 1000, found.source.path)
    assert (found.missing, found.misshapen, linear.name) == ([], [], classifier)
    assert unexpected(found, linear) == []


def test_modules_that_ask_for_their_version_are_told(tmp_path):
    """torchvision's MNASNet refuses a state dict without; a file has it under other names, or not at all."""
    whole, wrapper = torchvision.models.mnasnet0_5(num_classes=5), TorchvisionBackbone("mnasnet0_5")
    torch.save(dict(whole.state_dict()), tmp_path / "x.pth")
    found = checkpoints.match(checkpoints.read(tmp_path / "x.pth"), wrapper)
    checkpoints.load(found, wrapper)
    assert all(torch.equal(value, whole.state_dict()[key[6:]]) for key, value in wrapper.state_dict().items())


def test_a_backbone_may_give_its_weights_as_a_plain_dictionary(in_memory):
    class Plain(SmallCNN):
        def state_dict(self, *arguments, **options):
            return dict(super().state_dict(*arguments, **options))

    wanted, backbone = Plain(num_features=4), Plain(num_features=4)
    checkpoints.load(checkpoints.match(in_memory(wanted.state_dict()), backbone), backbone)
    assert all(torch.equal(value, wanted.state_dict()[key]) for key, value in backbone.state_dict().items())


def test_a_backbone_that_was_made_in_inference_mode_is_loaded(backbone, in_memory):
    with torch.inference_mode():
        fresh = SmallCNN(8)
    checkpoints.load(checkpoints.match(in_memory(backbone.state_dict()), fresh), fresh)
    assert all(torch.equal(value, backbone.state_dict()[key]) for key, value in fresh.state_dict().items())


def test_counts_of_batches_may_be_missing(backbone, network, in_memory):
    tensors = {key: value for key, value in network(backbone).items() if not key.endswith("num_batches_tracked")}
    found = checkpoints.match(in_memory(tensors), backbone)
    assert found.missing == []
    assert len(found.tensors) == found.total == 15
    checkpoints.load(found, SmallCNN(8))


def test_missing_and_misshapen_tensors_are_named(backbone, network, in_memory):
    tensors = network(SmallCNN(8, in_channels=3))
    del tensors["layers.4.bias"]
    found = checkpoints.match(in_memory(tensors), backbone)
    assert found.missing == ["layers.4.bias"]
    assert found.misshapen == ["layers.0.weight: (4, 3, 3, 3) in the file, (4, 1, 3, 3) in the backbone"]
    assert len(found.tensors) == found.total - 2


def test_nothing_matches_in_a_strangers_file(backbone, in_memory):
    found = checkpoints.match(in_memory({"a.weight": torch.ones(1), "b": torch.ones(1)}), backbone)
    assert (found.tensors, found.copies, len(found.rest)) == ({}, [], 2)


def test_tensors_beyond_backbone_and_classifier_are_unexpected_within_its_prefix_only(backbone, network, in_memory):
    tensors = network(backbone, prefix="net.", classifier="net.fc.")
    tensors |= {"net.neck.weight": torch.ones(3), "optimizer.momentum": torch.ones(3)}
    found = checkpoints.match(in_memory(tensors), backbone)
    classifier = checkpoints.find_classifier(found, 8, 10, found.source.path)
    assert unexpected(found, classifier) == ["net.neck.weight"]


def test_weights_of_losses_and_metrics_are_no_layers(backbone, network, in_memory):
    tensors = network(backbone) | {"criterion.weight": torch.ones(10), "train_acc.total": torch.ones(1)}
    found = checkpoints.match(in_memory(tensors | {"lossy.weight": torch.ones(1)}), backbone)
    classifier = checkpoints.find_classifier(found, 8, 10, found.source.path)
    assert unexpected(found, classifier) == ["lossy.weight"]


def test_a_deeper_network_of_the_family_has_unexpected_tensors(whole_of):
    source = whole_of(ResNet56, **{"fc.weight": (10, 64), "fc.bias": (10,)})
    with torch.device("meta"):
        found = checkpoints.match(source, ResNet32())
    assert (found.missing, found.misshapen) == ([], [])  # every key of the shallower network is there
    extra = unexpected(found, checkpoints.find_classifier(found, 64, 10, source.path))
    assert len(extra) == 3 * 4 * 10
    assert extra[0] == "layer1.5.conv1.weight"


def test_a_shallower_network_of_the_family_lacks_tensors(whole_of):
    with torch.device("meta"):
        found = checkpoints.match(whole_of(ResNet20, **{"fc.weight": (10, 64)}), ResNet32())
    assert len([key for key in found.missing if key.endswith("conv1.weight")]) == 6


def test_a_real_file_from_a_plain_script(shared):
    source = checkpoints.read(shared / "checkpoints/resnet32_cifar100_lt100.pth.tar")
    assert source.form == "PyTorch state dict under 'state_dict'"
    backbone = ResNet32()
    found = checkpoints.match(source, backbone)
    assert (found.prefix, found.missing, found.misshapen, found.copies) == ("module.", [], [], [])
    assert len(found.tensors) == found.total == len(backbone.state_dict())
    classifier = checkpoints.find_classifier(found, 64, 100, source.path)
    assert (classifier.name, tuple(classifier.weight.shape), tuple(classifier.bias.shape), classifier.note) == (
        "module.linear",
        (100, 64),
        (100,),
        "",
    )
    assert unexpected(found, classifier) == []

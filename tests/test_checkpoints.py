"""Files that hold weights, ours and others'."""

import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from lt_lightning import checkpoints
from lt_lightning.backbones import ResNet20, ResNet32, ResNet56, SmallCNN, TorchvisionBackbone
from lt_lightning.errors import UsageError


@pytest.fixture
def backbone():
    return SmallCNN(8)


def network(backbone, classes=10, prefix="", classifier="fc.", bias=True):
    """A state dict as a plain PyTorch script would save it."""
    head = nn.Linear(8, classes, bias=bias)
    tensors = {f"{prefix}{key}": value for key, value in backbone.state_dict().items()}
    return OrderedDict(tensors | {f"{classifier}{key}": value for key, value in head.state_dict().items()})


def in_memory(tensors):
    return checkpoints.Checkpoint(Path("some.pth"), dict(tensors), "PyTorch state dict")


def whole_of(backbone, **extra):
    with torch.device("meta"):
        return in_memory({**backbone().state_dict(), **{key: torch.empty(shape) for key, shape in extra.items()}})


# -- read --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("envelope", [None, "state_dict", "model", "model_state_dict", "net"])
def test_state_dicts_are_found_under_the_usual_names(tmp_path, backbone, envelope):
    tensors = network(backbone)
    torch.save(tensors if envelope is None else {"epoch": 3, "arch": "small", envelope: tensors}, tmp_path / "x.pth")
    source = checkpoints.read(tmp_path / "x.pth")
    assert list(source.tensors) == list(tensors)
    assert all(torch.equal(source.tensors[key], tensors[key]) for key in tensors)
    assert source.form == "PyTorch state dict" + (f" under {envelope!r}" if envelope else "")
    assert (source.class_counts, source.split) == (None, {})


def test_what_is_no_tensor_is_left_out(tmp_path):
    torch.save({"weight": torch.ones(2), "epoch": 3, "history": [1.0]}, tmp_path / "x.pth")
    assert list(checkpoints.read(str(tmp_path / "x.pth")).tensors) == ["weight"]


def test_files_from_before_pytorch_1_6_are_read(tmp_path, backbone):
    torch.save(network(backbone), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert len(checkpoints.read(tmp_path / "old.pth").tensors) == 20


def test_our_checkpoints_say_what_they_were_trained_on(stage1, backbone):
    source = checkpoints.read(stage1)
    assert source.form == "Lightning checkpoint"
    assert source.class_counts == [100, 64, 41, 27, 17, 11, 7, 4, 3, 2]
    assert len(source.split["hashes"]["train"]) == 64
    found = checkpoints.match(source, backbone)
    classifier = checkpoints.find_classifier(found, 8, 10, source.path)
    assert (found.prefix, len(found.tensors), classifier.name) == ("backbone.", found.total, "head")
    assert checkpoints.unexpected(found, classifier) == []


def write(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"epoch: 3\nmodel: resnet\n", "is no PyTorch file: it starts with b'epoc'"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is no PyTorch file: it starts with b'vers'"),
        (b"", "is no PyTorch file: it starts with b''"),
        (
            {},
            "holds no state dict, neither bare nor under one of state_dict, model_state_dict, model, net; its keys are",
        ),
        ({"epoch": 3, "lr": 0.1}, "holds no state dict.* its keys are 'epoch', 'lr'"),
        ({"state_dict": {}, "epoch": 3}, "holds no state dict"),
        ({str(n): n for n in range(9)}, "holds no state dict.* its keys are '0', '1', '2', '3' and 5 more"),
        ([torch.ones(2)], "holds a list, not a dictionary of tensors"),
        (torch.ones(2), "holds a Tensor, not a dictionary of tensors"),
    ],
)
def test_files_without_weights_are_refused(tmp_path, content, sentence):
    path = tmp_path / "x.pth"
    write(path, content)
    with pytest.raises(UsageError, match=f"^`checkpoint` '.*x.pth' {sentence}"):
        checkpoints.read(path)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_truncated_files_are_refused(tmp_path, zipped, share):
    whole = tmp_path / "whole.pth"
    torch.save({"weight": torch.ones(3000)}, whole, _use_new_zipfile_serialization=zipped)
    content = whole.read_bytes()
    (tmp_path / "x.pth").write_bytes(content[: int(share * len(content))])
    with pytest.raises(UsageError, match=r"'.*x.pth' is truncated or holds no weights \(.+\)\.$"):
        checkpoints.read(tmp_path / "x.pth")


@pytest.mark.parametrize("path", ["nowhere.pth", "."])
def test_a_path_that_is_no_file_is_refused(here, path):
    with pytest.raises(UsageError, match=f"`checkpoint` '{path}' is not a file; give the path of a stage-1 checkpoint"):
        checkpoints.read(path)


class Foreign:
    """Unpickling it would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("save", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))])
def test_code_in_a_file_is_refused_and_does_not_run(tmp_path, backbone, save):
    path, trace = tmp_path / "x.pth", tmp_path / "trace"
    save({"state_dict": network(backbone), "extra": Foreign(trace)}, path)
    with pytest.raises(
        UsageError, match=r"holds more than tensors .* save `model.state_dict\(\)` alone with `torch.save`"
    ):
        checkpoints.read(path)
    assert not trace.exists()


def test_a_pickled_module_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "x.pth")
    with pytest.raises(UsageError, match="holds more than tensors and plain values, and opening it could run foreign"):
        checkpoints.read(tmp_path / "x.pth")


# -- match and find_classifier -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "classifier"),
    [
        ("", "fc."),
        ("module.", "module.linear."),
        ("model.", "model.fc."),
        ("backbone.", "head."),
        ("_orig_mod.", "_orig_mod.fc."),
        ("module._orig_mod.", "module._orig_mod.fc."),
        ("backbone._orig_mod.", "head."),
        ("module.backbone.net.", "module.head.1."),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_prefixes_are_inferred(tmp_path, backbone, prefix, classifier, bias):
    tensors = network(backbone, prefix=prefix, classifier=classifier, bias=bias)
    torch.save(tensors, tmp_path / "x.pth")
    source = checkpoints.read(tmp_path / "x.pth")
    fresh = SmallCNN(8)
    found = checkpoints.match(source, fresh)
    assert (found.missing, found.misshapen, len(found.tensors)) == ([], [], found.total)
    linear = checkpoints.find_classifier(found, 8, 10, source.path)
    assert linear.name == classifier.replace("_orig_mod.", "").rstrip(".")
    assert torch.equal(linear.weight, tensors[f"{classifier}weight"])
    assert torch.equal(linear.bias, tensors[f"{classifier}bias"]) if bias else linear.bias is None
    assert checkpoints.unexpected(found, linear) == []
    fresh.load_state_dict(found.tensors)
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(fresh.eval()(images), backbone.eval()(images))


def test_a_plain_torchvision_file_fits_its_wrapper():
    with torch.device("meta"):
        wrapper = TorchvisionBackbone("resnet18")
        found = checkpoints.match(in_memory(torchvision.models.resnet18().state_dict()), wrapper)
    assert (found.missing, found.misshapen, found.prefix) == ([], [], "")
    assert set(found.tensors) == set(wrapper.state_dict())
    assert set(found.rest) == {"fc.weight", "fc.bias"}


def test_counts_of_batches_may_be_missing(backbone):
    tensors = {key: value for key, value in network(backbone).items() if not key.endswith("num_batches_tracked")}
    found = checkpoints.match(in_memory(tensors), backbone)
    assert found.missing == []
    assert len(found.tensors) == found.total - 3


def test_missing_and_misshapen_tensors_are_named(backbone):
    tensors = network(SmallCNN(8, in_channels=3))
    del tensors["layers.4.bias"]
    found = checkpoints.match(in_memory(tensors), backbone)
    assert found.missing == ["layers.4.bias"]
    assert found.misshapen == ["layers.0.weight: (4, 3, 3, 3) in the file, (4, 1, 3, 3) in the backbone"]
    explained = checkpoints.explain_mismatch(found, ["a", "b", "c", "d", "e"])
    assert explained == (
        "16 of 18 backbone tensors match; 1 missing: 'layers.4.bias'; 1 of another shape: 'layers.0.weight: "
        "(4, 3, 3, 3) in the file, (4, 1, 3, 3) in the backbone'; 5 unexpected: 'a', 'b' and 3 more"
    )


def test_another_number_of_classes_is_refused(backbone):
    found = checkpoints.match(in_memory(network(backbone, classes=7)), backbone)
    with pytest.raises(
        UsageError, match=r"'x' has a classifier 'fc.weight' of 7 classes, but the data have 10; give the"
    ):
        checkpoints.find_classifier(found, 8, 10, Path("x"))


@pytest.mark.parametrize(("more", "number"), [({}, 0), ({"a.weight": (10, 8), "b.weight": (10, 8)}, 2)])
def test_none_or_several_classifiers_are_refused(backbone, more, number):
    tensors = {
        **backbone.state_dict(),
        **{key: torch.ones(shape) for key, shape in more.items()},
        "scale": torch.ones(1),
    }
    found = checkpoints.match(in_memory(tensors), backbone)
    sentence = f"must hold one linear classifier with 10 rows of 8 features, but has {number}: left over .*'scale'"
    with pytest.raises(UsageError, match=sentence):
        checkpoints.find_classifier(found, 8, 10, Path("x"))


def test_tensors_beyond_backbone_and_classifier_are_unexpected_within_its_prefix_only(backbone):
    tensors = network(backbone, prefix="net.", classifier="net.fc.")
    tensors |= {"net.neck.weight": torch.ones(3), "optimizer.momentum": torch.ones(3)}
    found = checkpoints.match(in_memory(tensors), backbone)
    classifier = checkpoints.find_classifier(found, 8, 10, Path("x"))
    assert checkpoints.unexpected(found, classifier) == ["net.neck.weight"]


def test_a_deeper_network_of_the_family_has_unexpected_tensors():
    source = whole_of(ResNet56, **{"fc.weight": (10, 64), "fc.bias": (10,)})
    with torch.device("meta"):
        found = checkpoints.match(source, ResNet32())
    assert (found.missing, found.misshapen) == ([], [])  # every key of the shallower network is there
    extra = checkpoints.unexpected(found, checkpoints.find_classifier(found, 64, 10, source.path))
    assert len(extra) == 3 * 4 * 12
    assert extra[0] == "layer1.5.conv1.weight"


def test_a_shallower_network_of_the_family_lacks_tensors():
    with torch.device("meta"):
        found = checkpoints.match(whole_of(ResNet20, **{"fc.weight": (10, 64)}), ResNet32())
    assert len([key for key in found.missing if key.endswith("conv1.weight")]) == 6


def test_a_real_file_from_a_plain_script(shared):
    source = checkpoints.read(shared / "checkpoints/resnet32_cifar100_lt100.pth.tar")
    assert source.form == "PyTorch state dict under 'state_dict'"
    backbone = ResNet32()
    found = checkpoints.match(source, backbone)
    assert (found.prefix, found.missing, found.misshapen) == ("module.", [], [])
    assert len(found.tensors) == found.total == len(backbone.state_dict())
    classifier = checkpoints.find_classifier(found, 64, 100, source.path)
    assert (classifier.name, tuple(classifier.weight.shape), tuple(classifier.bias.shape)) == (
        "module.linear",
        (100, 64),
        (100,),
    )
    assert checkpoints.unexpected(found, classifier) == []

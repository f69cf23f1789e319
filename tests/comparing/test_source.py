"""Stage 1 as a comparison needs it."""

import hashlib

import pytest
import torch
import torchvision

from lt_lightning import checkpoints
from lt_lightning.backbones import SmallCNN, TorchvisionBackbone
from lt_lightning.checkpoints import UNKNOWN, reading
from lt_lightning.comparing.source import read_source
from lt_lightning.errors import UsageError
from lt_lightning.modules import RetrainModule


def test_backbone_classifier_and_record(foreign, make_data, stage1, digits):
    data = make_data()
    found = read_source(str(foreign), SmallCNN(8, in_channels=3), data, None, False)
    tensors = torch.load(foreign, weights_only=True)["state_dict"]
    assert torch.equal(found.classifier.weight, tensors["fc.weight"])
    assert torch.equal(found.classifier.bias, tensors["fc.bias"])
    assert torch.equal(found.backbone.layers[0].weight, tensors["backbone.layers.0.weight"])
    assert not any(parameter.requires_grad for parameter in found.backbone.parameters())
    assert found.split == {}
    assert found.origins == [checkpoints.UNKNOWN]
    assert found.sha256 == hashlib.sha256(foreign.read_bytes()).hexdigest()
    ours = read_source(str(stage1), SmallCNN(8), digits(), None, False)
    assert ours.order_is_said
    assert ours.origins == [{"weights": "file", "train": ours.split["hashes"]["train"]}]


@pytest.mark.parametrize("allow_partial", [True, False])
def test_a_part_that_the_file_lacks_has_the_past_of_the_backbone_as_in_fit(stage1, digits, tmp_path, allow_partial):
    class Loaded(SmallCNN):
        weights_file = "mine.pth"

    contents, data, path = torch.load(stage1, weights_only=True), digits(), tmp_path / "part.ckpt"
    if allow_partial:
        del contents["state_dict"]["backbone.layers.0.weight"]
    torch.save(contents, path)
    found = read_source(str(path), Loaded(8), data, None, allow_partial)
    module = RetrainModule(data.class_counts, str(path), Loaded(8), allow_partial=allow_partial)
    module.start_from_checkpoint()
    assert found.past == ([UNKNOWN] if allow_partial else [])
    assert found.origins == module.past


def test_a_file_is_opened_once(foreign, make_data, monkeypatch):
    original, opened = reading.open_safely, []

    def open_safely(path):
        opened.append(path)
        return original(path)

    monkeypatch.setattr(reading, "open_safely", open_safely)
    read_source(str(foreign), SmallCNN(8, in_channels=3), make_data(), None, False)
    assert opened == [foreign]


def test_a_network_that_asks_for_its_version_is_read(tmp_path, make_data):
    whole = torchvision.models.mnasnet0_5(num_classes=10)
    torch.save(whole.state_dict(), tmp_path / "x.pth")
    found = read_source(str(tmp_path / "x.pth"), TorchvisionBackbone("mnasnet0_5"), make_data(), None, False)
    assert torch.equal(found.backbone.model.layers[0].weight, whole.layers[0].weight)


def test_rows_come_in_the_datas_class_order(foreign, make_data):
    data = make_data()
    plain = read_source(str(foreign), SmallCNN(8, in_channels=3), data, None, False)
    turned = read_source(str(foreign), SmallCNN(8, in_channels=3), data, data.class_names[::-1], False)
    assert torch.equal(turned.classifier.weight, plain.classifier.weight.flip(0))
    assert (plain.order_is_said, turned.order_is_said) == (False, True)
    with pytest.raises(UsageError, match="`class_names` of `checkpoint`"):
        read_source(str(foreign), SmallCNN(8, in_channels=3), data, ["one"] * 10, False)


@pytest.mark.parametrize("decides", [True, False])
def test_names_that_scripts_store_turn_rows_or_are_left_aside(foreign, make_data, tmp_path, capsys, decides):
    data = make_data()
    names = data.class_names[::-1] if decides else [f"n0{row}" for row in range(10)]
    contents = torch.load(foreign, weights_only=True)
    torch.save(contents | {"class_to_idx": {name: row for row, name in enumerate(names)}}, tmp_path / "x.pth")
    found = read_source(str(tmp_path / "x.pth"), SmallCNN(8, in_channels=3), data, None, False)
    rows = contents["state_dict"]["fc.weight"]
    assert torch.equal(found.classifier.weight, rows.flip(0) if decides else rows)
    assert found.order_is_said == decides
    assert ("`class_to_idx` left aside" in capsys.readouterr().out) != decides

"""Heads that were trained without a trainer, as checkpoints."""

import json

import pytest
import torch
from torch import nn

from lt_lightning import checkpoints, cli
from lt_lightning.backbones import SmallCNN
from lt_lightning.errors import UsageError
from lt_lightning.heads import CosineHead, LinearHead, LWSHead, NCMHead
from lt_lightning.losses import CrossEntropyLoss, LogisticLoss
from lt_lightning.modules import RetrainModule, save_retrained
from lt_lightning.records import read_record

SMALL = {"class_path": "SmallCNN", "init_args": {"num_features": 8}}


@pytest.fixture
def parts(stage1, digits):
    """A backbone with stage 1's weights, and data."""
    backbone = SmallCNN(8).eval()
    checkpoints.load(checkpoints.match(checkpoints.read(stage1), backbone), backbone)
    return backbone, digits()


def accuracy(backbone, head, data):
    data.setup("test")
    batches = [data.on_after_batch_transfer(batch, 0) for batch in data.test_dataloader()]
    images, targets = (torch.cat(part) for part in zip(*batches, strict=True))
    with torch.no_grad():
        return (head.predict(backbone(images)).argmax(dim=1) == targets).double().mean().item()


@pytest.mark.parametrize("name", ["LWSHead", "CosineHead", "NCMHead"])
def test_what_test_says_of_it_is_what_it_was(name, parts, stage1, tmp_path, here, tiny):
    backbone, data = parts
    torch.manual_seed(0)
    head = {"LWSHead": LWSHead, "CosineHead": CosineHead, "NCMHead": NCMHead}[name](8, data.class_counts)
    if name == "NCMHead":
        head.means.copy_(torch.rand(10, 8))
    head.eval()
    path = tmp_path / "better.ckpt"
    arguments = {"backbone": SMALL, "head": name, "loss": "CrossEntropyLoss"}
    loss = CrossEntropyLoss(data.class_counts)
    save_retrained(path, str(stage1), backbone, head, loss, data, 3, (1, 8, 8), arguments, selection="val: by me")
    options = (f"--model.checkpoint={stage1}", f"--model.head={name}", f"--ckpt_path={path}")
    cli.main(tiny("test", "RetrainModule", *options))
    (written,) = here.rglob("results.json")
    record = json.loads(written.read_text())
    assert record["selection"] == "val: by me"
    found = record["evaluation"]["test"]
    assert found["accuracy"]["micro"] == pytest.approx(accuracy(backbone, head, data))
    assert found["epoch"] == 3


def test_predict_needs_no_model(parts, stage1, tmp_path, here):
    backbone, data = parts
    head = LinearHead(8, data.class_counts)
    arguments = {"backbone": SMALL, "loss": "LogisticLoss"}
    path = tmp_path / "better.ckpt"
    save_retrained(path, str(stage1), backbone, head, LogisticLoss(data.class_counts), data, 1, (1, 8, 8), arguments)
    options = ("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--top_k=1")
    cli.main(["predict", f"--ckpt_path={path}", "--data=DigitsLT", f"--output={here / 'p.csv'}", *options])
    data.setup("test")
    assert len((here / "p.csv").read_text().splitlines()) == 1 + len(data.split("test"))
    record = read_record(path)
    assert record.model["init_args"]["head"]["class_path"] == "lt_lightning.heads.LinearHead"
    assert record.model["init_args"]["checkpoint"] == str(stage1)
    assert (record.epochs, record.input_shape) == (1, (1, 8, 8))
    assert record.class_names == data.class_names
    # What stage 2 reads of such a file is the head as it predicts.
    found = checkpoints.match(checkpoints.read(path), SmallCNN(8))
    assert torch.equal(checkpoints.find_classifier(found, 8, 10, path).weight, head.weight)


def test_a_bias_that_the_loss_asks_for_at_the_start_does_not_come_back(parts, stage1, tmp_path):
    backbone, data = parts
    head = LinearHead(8, data.class_counts)
    loss = CrossEntropyLoss(data.class_counts)
    loss.initial_bias = -4.0
    before = head.bias.detach().clone()
    save_retrained(tmp_path / "x.ckpt", str(stage1), backbone, head, loss, data)
    contents = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert torch.equal(contents["state_dict"]["head.bias"], before)
    assert torch.equal(head.bias, before)
    assert "hyper_parameters" not in contents
    module = RetrainModule(data.class_counts, "gone.ckpt", SmallCNN(8), group_thresholds=data.group_thresholds)
    module.load_state_dict(contents["state_dict"])
    assert contents["state_dict"]._metadata == module.state_dict()._metadata  # versions, for which some modules ask
    features = torch.rand(3, 8)
    assert torch.equal(module.head(features), nn.functional.linear(features, head.weight, before))


def test_bad_arguments_and_files_that_exist_are_refused(parts, stage1, tmp_path):
    backbone, data = parts
    head, loss = LinearHead(8, data.class_counts), CrossEntropyLoss(data.class_counts)
    with pytest.raises(UsageError, match=r"`arguments` do not make a RetrainModule \(.*NoBackbone"):
        save_retrained(
            tmp_path / "x.ckpt", str(stage1), backbone, head, loss, data, arguments={"backbone": "NoBackbone"}
        )
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match=r"`output` '.*last.ckpt' already exists"):
        save_retrained(stage1, str(stage1), backbone, head, loss, data)


def test_a_backbone_without_the_files_weights_is_refused(parts, stage1, tmp_path):
    """``checkpoints.match`` finds weights and loads none: what was saved would be an untrained network."""
    backbone, data = parts
    head, loss = LinearHead(8, data.class_counts), CrossEntropyLoss(data.class_counts)
    with pytest.raises(UsageError, match=r"`backbone` SmallCNN has other weights than `checkpoint` '.*last.ckpt'"):
        save_retrained(tmp_path / "x.ckpt", str(stage1), SmallCNN(8), head, loss, data)
    for layer in backbone.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean += 1  # as training with `bn_mode: train` leaves them
    save_retrained(tmp_path / "x.ckpt", str(stage1), backbone, head, loss, data)


def test_arguments_name_what_is_saved(parts, stage1, tmp_path):
    backbone, data = parts
    head, loss = LinearHead(8, data.class_counts), CrossEntropyLoss(data.class_counts)
    for part, wrong in (("head", "CosineHead"), ("loss", "LogisticLoss"), ("backbone", "ResNet32")):
        arguments = {"backbone": SMALL, "head": "LinearHead", "loss": "CrossEntropyLoss", part: wrong}
        with pytest.raises(UsageError, match=f"`arguments` have `{part}` .*{wrong}, but what is to be saved is a "):
            save_retrained(tmp_path / "x.ckpt", str(stage1), backbone, head, loss, data, arguments=arguments)


def test_what_a_function_makes_is_saved_by_the_functions_name(parts, stage1, tmp_path, here, monkeypatch):
    (here / "saved_head.py").write_text(
        "from lt_lightning.heads import LinearHead\n"
        "def make_head(in_features: int, class_counts: list[int]) -> LinearHead:\n"
        "    return LinearHead(in_features, class_counts)\n"
    )
    monkeypatch.syspath_prepend(here)
    backbone, data = parts
    head, loss = LinearHead(8, data.class_counts), CrossEntropyLoss(data.class_counts)
    arguments = {"backbone": SMALL, "head": "saved_head.make_head"}
    save_retrained(tmp_path / "x.ckpt", str(stage1), backbone, head, loss, data, arguments=arguments)
    assert read_record(tmp_path / "x.ckpt").model["init_args"]["head"] == "saved_head.make_head"


def test_weights_of_an_average_in_the_file_are_the_files_and_those_of_another_file_are_not(parts, digits, tmp_path):
    backbone, data = parts
    head, loss = LinearHead(8, data.class_counts), CrossEntropyLoss(data.class_counts)
    network = {f"net.{key}": value + 1 for key, value in backbone.state_dict().items()}
    average = {f"ema.net.{key}": value for key, value in backbone.state_dict().items()}
    torch.save(network | average, tmp_path / "both.pth")
    save_retrained(tmp_path / "x.ckpt", str(tmp_path / "both.pth"), backbone, head, loss, data)
    torch.save({"other.weight": torch.ones(3, 3)}, tmp_path / "other.pth")
    with pytest.raises(UsageError, match="`backbone` SmallCNN has other weights"):
        save_retrained(tmp_path / "y.ckpt", str(tmp_path / "other.pth"), backbone, head, loss, data)


def test_a_head_that_is_defined_within_a_class_is_saved(parts, stage1, tmp_path, here, monkeypatch):
    (here / "saved_within.py").write_text(
        "from lt_lightning.heads import LinearHead\nclass Outer:\n    class Inner(LinearHead):\n        pass\n"
    )
    monkeypatch.syspath_prepend(here)
    from saved_within import Outer

    backbone, data = parts
    head, loss = Outer.Inner(8, data.class_counts), CrossEntropyLoss(data.class_counts)
    arguments = {"backbone": SMALL, "head": "saved_within.Outer.Inner"}
    save_retrained(tmp_path / "x.ckpt", str(stage1), backbone, head, loss, data, arguments=arguments)
    found = read_record(tmp_path / "x.ckpt").model["init_args"]["head"]
    assert found["class_path"] == "saved_within.Outer.Inner"

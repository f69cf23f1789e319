"""What stage 2 refuses to start from, and what it starts from on request."""

import pytest
import torch
from lightning.pytorch import Callback
from short_runs import names_that_changed

from lt_lightning.backbones import ResNet20, ResNet32, ResNet56, SmallCNN, TorchvisionBackbone
from lt_lightning.errors import UsageError
from lt_lightning.heads import LogitAdjustmentHead, NCMHead, TauNormHead
from lt_lightning.modules import RetrainModule


class Trained(Callback):
    """Fails as soon as anything trains."""

    def on_train_start(self, trainer, pl_module):
        raise AssertionError("training started")


def save_plain(path, backbone, classes=10):
    weight = torch.zeros(classes, backbone.num_features)
    torch.save({"state_dict": backbone.state_dict() | {"linear.weight": weight}}, path)


@pytest.mark.parametrize(
    ("file", "asked", "sentence"),
    [
        (
            ResNet20,
            lambda: TorchvisionBackbone("resnet34", cifar_stem=True),
            r"does not fit `model.backbone` TorchvisionBackbone\(name=\"resnet34\", cifar_stem=True\) \(\d+ of \d+ "
            r"backbone tensors match; \d+ missing: .*; it fits ResNet20\.$",
        ),
        (
            ResNet56,
            ResNet32,
            r"`model.backbone` ResNet32 \(186 of 186 backbone tensors match; 120 unexpected: 'layer1.5.conv1.weight', "
            r".* it fits ResNet56\.$",
        ),
        (
            lambda: TorchvisionBackbone("resnet18"),
            lambda: TorchvisionBackbone("resnet18", cifar_stem=True),
            r"1 of another shape: .*; it fits TorchvisionBackbone\(name=\"resnet18\", cifar_stem=False\)\.$",
        ),
        (
            lambda: SmallCNN(8, in_channels=3),
            lambda: SmallCNN(8),
            r"`model.backbone` SmallCNN \(17 of 18 backbone tensors match; 1 of another shape: .*; no built-in "
            r"backbone fits it; set `model.allow_partial` to true to load what matches\.$",
        ),
    ],
)
def test_another_backbone_is_refused_with_the_one_that_fits(
    tmp_path, trainer, digits, stage2_module, file, asked, sentence
):
    save_plain(tmp_path / "x.pth", file())
    data = digits()
    module = stage2_module(data, tmp_path / "x.pth", backbone=asked())
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    with pytest.raises(UsageError, match=sentence):
        trainer(callbacks=[Trained()]).fit(module, datamodule=data)
    assert not names_that_changed(before, module.state_dict())


@pytest.mark.parametrize("classes", [7, None])
def test_the_backbone_that_fits_is_named_though_the_classifier_is_another_or_none(
    tmp_path, trainer, digits, stage2_module, classes
):
    save_plain(tmp_path / "x.pth", ResNet20(), classes or 10)
    if classes is None:
        contents = torch.load(tmp_path / "x.pth", weights_only=True)
        del contents["state_dict"]["linear.weight"]
        torch.save(contents, tmp_path / "x.pth")
    data = digits()
    module = stage2_module(data, tmp_path / "x.pth", backbone=ResNet32())
    with pytest.raises(UsageError, match=r"; it fits ResNet20\.$"):
        trainer(callbacks=[Trained()]).fit(module, datamodule=data)


def test_the_real_files_backbone_is_named(shared, trainer, digits):
    data = digits()
    file = shared / "checkpoints/resnet32_cifar100_lt100.pth.tar"
    module = RetrainModule(data.class_counts * 10, str(file), TorchvisionBackbone("resnet18", cifar_stem=True))
    with pytest.raises(UsageError, match=r"resnet32_cifar100_lt100.* it fits ResNet32\.$"):
        trainer(callbacks=[Trained()]).fit(module, datamodule=data)


def test_other_classes_or_counts_or_images_are_refused(tmp_path, trainer, digits, stage2_module, stage1):
    save_plain(tmp_path / "x.pth", SmallCNN(8), classes=7)
    data = digits()
    with pytest.raises(UsageError, match=r"has a classifier 'linear.weight' of 7 classes, but the data have 10"):
        trainer(callbacks=[Trained()]).fit(stage2_module(data, tmp_path / "x.pth"), datamodule=data)
    data = digits(imbalance_ratio=20)
    sentence = (
        rf"`checkpoint` '{stage1}' was trained on 276 images in 10 classes \(100 to 2 a class\), but the data have"
    )
    with pytest.raises(UsageError, match=sentence):
        trainer(callbacks=[Trained()]).fit(stage2_module(data), datamodule=data)
    data = digits(subset=5)
    with pytest.raises(UsageError, match=r"was trained on other images .* set `model.allow_changed_data` to true"):
        trainer(callbacks=[Trained()]).fit(stage2_module(data), datamodule=data)
    module = stage2_module(data, allow_changed_data=True)
    trainer().fit(module, datamodule=data)
    assert module.epochs_trained == 1


@pytest.mark.parametrize("head", [TauNormHead, LogitAdjustmentHead, NCMHead])
def test_a_head_that_trains_nothing_is_not_fitted(trainer, digits, stage2_module, head):
    data = digits()
    module = stage2_module(data, head=head)
    assert not module.trains
    with pytest.raises(UsageError, match=f"`model.head` {head.__name__} has nothing to train; use `lt-lightning test`"):
        trainer().fit(module, datamodule=data)
    trainer().test(module, datamodule=data, verbose=False)
    assert sum(module.evaluation["test"]["per_class"]["total"]) == 500


def test_a_part_of_the_backbone_is_loaded_on_request(tmp_path, trainer, digits, stage2_module, capsys):
    save_plain(tmp_path / "x.pth", file := SmallCNN(8, in_channels=3))
    data = digits()
    module = stage2_module(data, tmp_path / "x.pth", allow_partial=True)
    first = module.backbone.layers[0].weight.clone()
    trainer().validate(module, datamodule=data, verbose=False)
    assert torch.equal(module.backbone.layers[0].weight, first)
    assert torch.equal(module.backbone.layers[3].weight, file.layers[3].weight)
    assert "17 of 18 backbone tensors match; 1 of another shape: 'layers.0.weight" in capsys.readouterr().out
    module = stage2_module(data, tmp_path / "x.pth", backbone=ResNet20(1), allow_partial=True)
    with pytest.raises(UsageError, match=r"0 of \d+ backbone tensors match"):  # nothing is no part
        trainer().validate(module, datamodule=data, verbose=False)


def test_a_file_of_more_than_the_backbone_is_loaded_on_request(tmp_path, trainer, digits, stage2_module, capsys):
    save_plain(tmp_path / "x.pth", file := SmallCNN(8))
    contents = torch.load(tmp_path / "x.pth", weights_only=True)
    contents["state_dict"]["layers.90.weight"] = torch.zeros(4, 4)
    torch.save(contents, tmp_path / "x.pth")
    data = digits()
    with pytest.raises(UsageError, match="1 unexpected: "):
        trainer().validate(stage2_module(data, tmp_path / "x.pth"), datamodule=data, verbose=False)
    module = stage2_module(data, tmp_path / "x.pth", allow_partial=True)
    trainer().validate(module, datamodule=data, verbose=False)
    assert torch.equal(module.backbone.layers[0].weight, file.layers[0].weight)
    assert "1 unexpected: " in capsys.readouterr().out


def test_a_layer_between_backbone_and_classifier_is_not_left_aside_unasked(
    tmp_path, trainer, digits, stage2_module, capsys
):
    tensors = {f"encoder.{key}": tensor for key, tensor in SmallCNN(8).state_dict().items()}
    tensors |= {"neck.weight": torch.eye(8).flip(0), "classifier.weight": torch.randn(10, 8)}
    torch.save({"state_dict": tensors}, tmp_path / "x.pth")
    data = digits()
    with pytest.raises(
        UsageError, match=r"1 unexpected: 'neck.weight'\); .* the whole module to `lt_lightning.retrain`"
    ):
        trainer().validate(stage2_module(data, tmp_path / "x.pth"), datamodule=data, verbose=False)
    module = stage2_module(data, tmp_path / "x.pth", allow_partial=True)
    trainer().validate(module, datamodule=data, verbose=False)
    assert torch.equal(module.head.weight, tensors["classifier.weight"])
    assert "1 unexpected: 'neck.weight'" in capsys.readouterr().out


@pytest.mark.parametrize("given", [True, False])
def test_rows_are_put_in_the_class_order_of_the_data(tmp_path, trainer, digits, stage2_module, given):
    data, names = digits(), list("9876543210")
    contents = {"state_dict": SmallCNN(8).state_dict() | {"fc.weight": (weight := torch.randn(10, 8))}}
    torch.save(contents if given else contents | {"class_names": names}, tmp_path / "x.pth")
    arguments = {"checkpoint_class_names": names} if given else {}
    module = stage2_module(data, tmp_path / "x.pth", **arguments)
    trainer().validate(module, datamodule=data, verbose=False)
    assert torch.equal(module.head.weight, weight.flip(0))
    module = stage2_module(data, tmp_path / "x.pth", checkpoint_class_names=[*"012345678", "ten"])
    with pytest.raises(UsageError, match=r"'ten' only in the checkpoint \(10 classes\), '9' only in the data \(10\)"):
        trainer().validate(module, datamodule=data, verbose=False)


def test_a_missing_file_is_named_before_training(trainer, digits, stage2_module):
    data = digits()
    with pytest.raises(UsageError, match=r"`checkpoint` 'gone.ckpt' is not a file"):
        trainer(callbacks=[Trained()]).fit(stage2_module(data, "gone.ckpt"), datamodule=data)

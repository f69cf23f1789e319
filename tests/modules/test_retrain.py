"""Stage 2."""

import shutil

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from lt_lightning.backbones import ResNet20, ResNet32, ResNet56, SmallCNN, TorchvisionBackbone
from lt_lightning.errors import UsageError
from lt_lightning.heads import DisAlignHead, LinearHead, LogitAdjustmentHead, LWSHead, NCMHead, TauNormHead
from lt_lightning.losses import CrossEntropyLoss
from lt_lightning.main import main
from lt_lightning.modules import RetrainModule


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


class Modes(Callback):
    """Calls `.train()`, as others might, and keeps which modules of the backbone follow; and what is optimised."""

    def __init__(self):
        self.training = set()

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        pl_module.train()
        modules = pl_module.backbone.modules()
        self.training |= {type(module).__name__ for module in modules if module.training}


def names_that_changed(before, after):
    return {key for key, tensor in after.items() if not torch.equal(tensor, before[key])}


def stage1_weights(stage1):
    tensors = torch.load(stage1, weights_only=True)["state_dict"]
    return {key.removeprefix("backbone."): tensor for key, tensor in tensors.items() if key.startswith("backbone.")}


@pytest.mark.parametrize("bn_mode", ["eval", "shift", "train"])
def test_the_backbone_stays_as_it_was(trainer, digits, stage1_module, stage2_module, stage1, bn_mode):
    data, modes = digits(), Modes()
    module = stage2_module(data, bn_mode=bn_mode, optimizer=sgd)
    run = trainer(max_epochs=2, callbacks=[modes])
    run.fit(module, datamodule=data)
    changed = names_that_changed(stage1_weights(stage1), module.backbone.state_dict())
    statistics = {key for key in module.backbone.state_dict() if "running" in key or "num_batches" in key}
    assert changed == (set() if bn_mode == "eval" else statistics)
    assert modes.training == ({"BatchNorm2d"} if bn_mode == "train" else set())
    assert module.head.training
    assert not module.backbone.training
    (group,) = run.optimizers[0].param_groups
    assert {id(parameter) for parameter in group["params"]} == {id(parameter) for parameter in module.head.parameters()}
    head = torch.load(stage1, weights_only=True)["state_dict"]["head.weight"]
    assert not torch.equal(module.head.weight, head)
    assert not module.features(torch.rand(1, 1, 8, 8)).requires_grad


def test_shifted_statistics_move_as_trained_ones_and_are_normalised_by(trainer, digits, stage1, stage2_module):
    # The first layer sees the same images in both modes; those behind it see what the one before makes of them.
    data = digits(batch_size=276)
    moved = {}
    for bn_mode in ("shift", "train"):
        module = stage2_module(data, bn_mode=bn_mode, optimizer=lambda p: torch.optim.SGD(p, lr=0.0))
        trainer(limit_val_batches=0).fit(module, datamodule=data)
        moved[bn_mode] = {k: v for k, v in module.backbone.state_dict().items() if "running" in k}
    before = stage1_weights(stage1)
    first, *_, last = moved["shift"]
    assert not torch.equal(moved["shift"][first], before[first])
    torch.testing.assert_close(moved["shift"][first], moved["train"][first])
    assert not torch.allclose(moved["shift"][last], moved["train"][last], rtol=1e-4)

    module = stage2_module(data, bn_mode="shift")
    trainer().validate(module, datamodule=data, verbose=False)
    module.train()
    images = torch.rand(6, 1, 8, 8)
    together = module.features(images)
    torch.testing.assert_close(together, module.eval().features(images))  # not by the batch, but by what it moved
    again = module.features(images)
    torch.testing.assert_close(again, together)  # and evaluation moves nothing


def test_an_unknown_bn_mode_is_refused(digits, stage2_module):
    with pytest.raises(UsageError, match=r"`model\.bn_mode` must be eval, shift or train, but got 'batch'"):
        stage2_module(digits(), bn_mode="batch")


def test_only_what_the_head_trains_is_optimised(trainer, digits, stage2_module, stage1):
    data = digits()
    module = stage2_module(data, head=LWSHead, optimizer=sgd)
    run = trainer()
    run.fit(module, datamodule=data)
    (group,) = run.optimizers[0].param_groups
    assert [id(parameter) for parameter in group["params"]] == [id(module.head.scales)]
    tensors = torch.load(stage1, weights_only=True)["state_dict"]
    assert torch.equal(module.head.weight, tensors["head.weight"])
    assert torch.equal(module.head.bias, tensors["head.bias"])
    assert not torch.equal(module.head.scales, torch.ones(10))


def test_it_starts_from_stage_one_and_says_so(trainer, digits, stage1_module, stage2_module, stage1, capsys):
    data = digits()
    module = stage2_module(data)
    trainer().test(module, datamodule=data, verbose=False)
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("checkpoint "))
    assert line == (
        f"checkpoint {stage1} (Lightning checkpoint): 18 of 18 backbone tensors matched under the prefix 'backbone.'; "
        f"classifier 'head' (10 classes × 8 features, with bias) given to LinearHead"
    )
    first = stage1_module(data)
    first.load_state_dict(torch.load(stage1, weights_only=True)["state_dict"])
    trainer().test(first, datamodule=data, verbose=False)
    assert str(module.evaluation["test"]["per_class"]) == str(first.evaluation["test"]["per_class"])
    assert module.evaluation["test"]["epoch"] == 0


def test_a_reset_head_starts_at_random(trainer, digits, stage2_module, stage1):
    torch.manual_seed(0)
    module = stage2_module(data := digits(), head=lambda d, counts: LinearHead(d, counts, reset=True))
    fresh = module.head.weight.clone()
    trainer().validate(module, datamodule=data, verbose=False)
    assert torch.equal(module.head.weight, fresh)


def test_a_plain_file_without_bias_gives_a_zero_bias(tmp_path, trainer, digits, stage2_module):
    data, backbone = digits(), SmallCNN(8)
    weight = torch.randn(10, 8)
    tensors = {f"module.{key}": tensor for key, tensor in backbone.state_dict().items()}
    torch.save({"state_dict": tensors | {"module.fc.weight": weight}}, tmp_path / "x.pth")
    module = stage2_module(data, tmp_path / "x.pth")
    trainer().validate(module, datamodule=data, verbose=False)
    assert torch.equal(module.head.weight, weight)
    assert module.head.bias.abs().sum() == 0
    assert not names_that_changed(backbone.state_dict(), module.backbone.state_dict())


def test_figures_after_training_are_those_of_the_trained_head(trainer, digits, stage2_module):
    # The second call of `setup` (and of the loading in it) must not undo the training.
    data = digits()
    module = stage2_module(data, optimizer=sgd)
    run = trainer()
    run.fit(module, datamodule=data)
    trained = module.head.weight.clone()
    run.test(module, datamodule=data, verbose=False)
    assert torch.equal(module.head.weight, trained)


# -- refusals ----------------------------------------------------------------------------------------------------------


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
            r"does not fit `model.backbone` TorchvisionBackbone\(name=\"resnet34\", cifar_stem=True\) \(\d+ of 216 "
            r"backbone tensors match; \d+ missing: .*; it fits ResNet20\.$",
        ),
        (
            ResNet56,
            ResNet32,
            r"`model.backbone` ResNet32 \(186 of 186 backbone tensors match; 144 unexpected: 'layer1.5.conv1.weight', "
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
            r"`model.backbone` SmallCNN \(17 of 18 backbone tensors match; 1 of another shape: .*; it fits none of the "
            r"backbones known here; set `model.allow_partial` to true to load what matches\.$",
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


# -- stage-2 checkpoints -----------------------------------------------------------------------------------------------


def test_a_checkpoint_of_the_command_line_needs_neither_code_nor_stage_one(here, tiny, stage1, trainer, digits):
    shutil.copy(stage1, here / "first.ckpt")
    options = ("--model.checkpoint=first.ckpt", "--model.head=LWSHead", "--model.loss=LORTLoss", "--model.loss.gap=2")
    lr = ("--model.optimizer=SGD", "--model.optimizer.lr=0.1")
    main(tiny("fit", "RetrainModule", *options, *lr, "--trainer.max_epochs=1"))
    (path,) = (here / "runs").rglob("last.ckpt")
    (here / "first.ckpt").unlink()
    tensors = torch.load(path, weights_only=True)["state_dict"]
    assert not torch.equal(tensors["head.scales"], torch.ones(10))

    module = RetrainModule.load_from_checkpoint(path)
    assert isinstance(module.head, LWSHead)
    assert module.loss.delta == pytest.approx(10 / (10 + torch.e**2 - 1))
    assert not names_that_changed(tensors, module.state_dict())
    data = digits()
    trainer().test(module, datamodule=data, verbose=False)  # neither reads stage 1's file nor goes back to it
    assert not names_that_changed(tensors, module.state_dict())
    assert module.evaluation["test"]["epoch"] == 1
    assert all(not part.training for part in module.backbone.modules() if isinstance(part, nn.BatchNorm2d))


def test_a_resumed_run_does_not_start_over(tmp_path, trainer, digits, stage1, stage2_module):
    shutil.copy(stage1, tmp_path / "first.ckpt")
    data = digits()
    run = trainer(max_epochs=1)
    run.fit(stage2_module(data, tmp_path / "first.ckpt", optimizer=sgd), datamodule=data)
    run.save_checkpoint(tmp_path / "second.ckpt")
    (tmp_path / "first.ckpt").unlink()
    module = stage2_module(data, tmp_path / "first.ckpt", optimizer=sgd)
    trainer(max_epochs=2).fit(module, datamodule=data, ckpt_path=tmp_path / "second.ckpt")
    assert module.epochs_trained == 2
    assert not names_that_changed(stage1_weights(stage1), module.backbone.state_dict())


def test_predictions_start_from_the_checkpoint_too(trainer, digits, stage1_module, stage2_module, stage1):
    data = digits()
    first = stage1_module(data)
    first.load_state_dict(torch.load(stage1, weights_only=True)["state_dict"])
    module = stage2_module(data)
    (expected,), (found,) = (trainer().predict(each, datamodule=data) for each in (first, module))
    assert torch.equal(found["probabilities"], expected["probabilities"])
    trainer().fit(module, datamodule=data)  # what prediction has loaded can be trained
    assert module.epochs_trained == 1


# -- heads made from features ------------------------------------------------------------------------------------------


def inputs(data, split):
    images = data.split(split)
    pixels, targets = images.__getitems__(list(range(len(images))))
    return data.to_input(pixels, training=False, generator=None), targets


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_nearest_class_means_are_those_of_the_training_images(trainer, digits, stage2_module, stage, capsys):
    data = digits(eval_batch_size=50)
    module = stage2_module(data, head=lambda d, n: NCMHead(d, n, metric="euclidean"))
    getattr(trainer(), stage)(module, datamodule=data)
    images, targets = inputs(data, "train")
    features = module.features(images)
    for label in range(10):
        torch.testing.assert_close(module.head.means[label], features[targets == label].mean(0), rtol=1e-4, atol=1e-5)
    assert "NCMHead made from the features of 276 training images" in capsys.readouterr().out


def test_nearest_class_means_recognise_digits(trainer, digits, stage2_module):
    data = digits()
    module = stage2_module(data, head=NCMHead)
    trainer().test(module, datamodule=data, verbose=False)
    images, targets = inputs(data, "test")
    expected = (module(images).argmax(1) == targets).float().mean()
    assert module.evaluation["test"]["accuracy"]["micro"] == pytest.approx(float(expected))
    assert expected > 0.3  # the eight features of a two-epoch network; chance is 0.1


class Once(RetrainModule):
    passes = 0

    def start_from_features(self):
        self.passes += 1
        super().start_from_features()


def test_one_pass_serves_all_runs(trainer, digits, stage1):
    data = digits()
    module = Once(data.class_counts, str(stage1), SmallCNN(8), head=NCMHead)
    for _ in range(2):
        trainer().validate(module, datamodule=data, verbose=False)
        trainer().test(module, datamodule=data, verbose=False)
    assert module.passes == 1


class Shrunk(NCMHead):
    """Nearest class means with a scale that trains."""

    def __init__(self, in_features, class_counts):
        super().__init__(in_features, class_counts)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, features):
        return self.scale * super().forward(features)


def test_a_head_that_needs_features_and_trains_gets_them_first(trainer, digits, stage2_module):
    data = digits()
    module = stage2_module(data, head=Shrunk, optimizer=sgd)
    trainer().fit(module, datamodule=data)
    assert bool(module.head.means.isfinite().all())
    assert float(module.head.scale.detach()) > 1.01


@pytest.mark.parametrize("centre", [False, True])
def test_a_checkpoint_of_class_means_needs_no_pass(tmp_path, trainer, digits, stage1, centre):
    def head(d, counts):
        return NCMHead(d, counts, centre=centre)

    data = digits()
    module = Once(data.class_counts, str(stage1), SmallCNN(8), head=head)
    run = trainer()
    run.test(module, datamodule=data, verbose=False)
    run.save_checkpoint(tmp_path / "ncm.ckpt")
    again = Once(data.class_counts, "gone.ckpt", SmallCNN(8), head=head)
    trainer().test(again, datamodule=data, ckpt_path=tmp_path / "ncm.ckpt", verbose=False)
    assert again.passes == 0
    assert not names_that_changed(module.state_dict(), again.state_dict())
    assert str(again.evaluation["test"]["accuracy"]) == str(module.evaluation["test"]["accuracy"])


def test_a_checkpoint_of_aligned_logits_comes_back_to_the_bit(tmp_path, trainer, digits, stage1, stage2_module):
    data = digits()
    module = stage2_module(data, head=DisAlignHead, optimizer=sgd)
    run = trainer(max_epochs=2)
    run.fit(module, datamodule=data)
    run.save_checkpoint(tmp_path / "disalign.ckpt")
    tensors = torch.load(stage1, weights_only=True)["state_dict"]
    assert torch.equal(module.head.weight, tensors["head.weight"])
    start = DisAlignHead(8, data.class_counts)
    start.init_from(tensors["head.weight"], tensors["head.bias"])
    moved = names_that_changed(start.state_dict(), module.head.state_dict())
    assert moved == {"scales", "offsets", "confidence.weight", "confidence.bias"}
    again = stage2_module(data, "gone.ckpt", head=DisAlignHead)
    trainer().test(again, datamodule=data, ckpt_path=tmp_path / "disalign.ckpt", verbose=False)
    assert not names_that_changed(module.state_dict(), again.state_dict())


# -- a bias that the loss asks for -------------------------------------------------------------------------------------


class Asking(CrossEntropyLoss):
    initial_bias = -2.5


def test_the_losss_bias_replaces_stage_ones(trainer, digits, stage2_module, stage1):
    data = digits()
    module = stage2_module(data, loss=Asking)
    trainer().validate(module, datamodule=data, verbose=False)
    assert module.head.bias.unique().tolist() == [-2.5]
    assert torch.equal(module.head.weight, torch.load(stage1, weights_only=True)["state_dict"]["head.weight"])


def test_a_resumed_bias_is_the_trained_one(tmp_path, trainer, digits, stage2_module):
    data = digits()
    module = stage2_module(data, loss=Asking, optimizer=sgd)
    run = trainer()
    run.fit(module, datamodule=data)
    run.save_checkpoint(tmp_path / "x.ckpt")
    again = stage2_module(data, "gone.ckpt", loss=Asking)
    trainer().test(again, datamodule=data, ckpt_path=tmp_path / "x.ckpt", verbose=False)
    assert torch.equal(again.head.bias, module.head.bias)
    assert module.head.bias.unique().numel() > 1

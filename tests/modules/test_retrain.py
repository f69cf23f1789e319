"""Stage 2."""

import shutil

import pytest
import torch
from lightning.pytorch import Callback
from short_runs import names_that_changed, sgd
from torch import nn

from lt_lightning.backbones import SmallCNN
from lt_lightning.errors import UsageError
from lt_lightning.heads import LinearHead, LWSHead
from lt_lightning.losses import CrossEntropyLoss
from lt_lightning.main import main
from lt_lightning.modules import RetrainModule


class Modes(Callback):
    """Calls `.train()`, as others might, and keeps which modules of the backbone follow; and what is optimised."""

    def __init__(self):
        self.training = set()

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        pl_module.train()
        modules = pl_module.backbone.modules()
        self.training |= {type(module).__name__ for module in modules if module.training}


def stage1_weights(stage1):
    tensors = torch.load(stage1, weights_only=True)["state_dict"]
    return {key.removeprefix("backbone."): tensor for key, tensor in tensors.items() if key.startswith("backbone.")}


@pytest.mark.parametrize("bn_mode", ["eval", "train"])
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


def test_an_unknown_bn_mode_is_refused(digits, stage2_module):
    with pytest.raises(UsageError, match=r"`model\.bn_mode` must be one of eval, train, but got 'batch'"):
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

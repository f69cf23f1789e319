"""Lightning's callbacks that unfreeze a backbone while it trains: resumed as they were, and refused."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import BackboneFinetuning, BaseFinetuning, ModelCheckpoint
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
    StepLR,
)

from lt_lightning.backbones import SmallCNN
from lt_lightning.checkpoints import RECORD
from lt_lightning.errors import UsageError
from lt_lightning.modules import RepresentationModule
from lt_lightning.modules.finetuning import TRAINS
from lt_lightning.schedules import CosineLR

# Batch normalisation, which Lightning trains from the start.
pytestmark = pytest.mark.filterwarnings("ignore:The provided params to be frozen already exist:UserWarning")

one_cycle = partial(OneCycleLR, max_lr=0.1, total_steps=3)


class WithNormalisation(BaseFinetuning):
    """Freezes batch normalisation too, whose statistics then stand still."""

    def freeze_before_training(self, pl_module):
        self.freeze(pl_module.backbone, train_bn=False)

    def finetune_function(self, pl_module, epoch, optimizer):
        if epoch == 1:
            self.unfreeze_and_add_param_group(pl_module.backbone, optimizer, train_bn=False)


class HoldsAll(RepresentationModule):
    """Gives its optimiser also what is frozen."""

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9)


class Frozen(Callback):
    """Counts the backbone's parameters that are frozen when a batch begins."""

    def __init__(self):
        self.counts = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == 0:
            self.counts.append(sum(not one.requires_grad for one in pl_module.backbone.parameters()))


@pytest.fixture
def run(trainer, digits, tmp_path):
    """Trains three epochs, of which the second unfreezes the backbone; gives module and frozen parameters by epoch."""

    def make(callback, kind=RepresentationModule, folder="first", ckpt_path=None):
        torch.manual_seed(0)
        data, frozen = digits(), Frozen()
        module = kind(data.class_counts, SmallCNN(8), group_thresholds=data.group_thresholds)
        saving = ModelCheckpoint(tmp_path / folder, save_top_k=-1, filename="{epoch}")
        callbacks = [callback(), frozen, saving]
        trainer(3, callbacks=callbacks, enable_checkpointing=True).fit(module, datamodule=data, ckpt_path=ckpt_path)
        return module, frozen.counts

    return make


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("kind", [RepresentationModule, HoldsAll])
@pytest.mark.parametrize("callback", [partial(BackboneFinetuning, unfreeze_backbone_at_epoch=1), WithNormalisation])
def test_a_resumed_run_is_as_one_that_was_not_interrupted(run, tmp_path, callback, kind, epoch):
    whole, frozen = run(callback, kind)
    assert frozen[0] > 0
    assert frozen[1:] == [0, 0]
    resumed, frozen_again = run(callback, kind, "second", tmp_path / f"first/epoch={epoch}.ckpt")
    assert frozen_again == frozen[epoch + 1 :]
    wanted = whole.state_dict()
    assert [name for name, value in resumed.state_dict().items() if not torch.equal(value, wanted[name])] == []


def test_only_a_run_that_unfreezes_records_what_trains(run, tmp_path):
    for folder, callback in (("first", WithNormalisation), ("second", Callback)):
        run(callback, folder=folder)
    first, second = (torch.load(tmp_path / folder / "epoch=0.ckpt") for folder in ("first", "second"))
    assert first[RECORD][TRAINS] == ["head.weight", "head.bias"]
    assert TRAINS not in second[RECORD]


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`, callbacks used:UserWarning")
def test_a_module_that_is_fitted_anew_starts_frozen(run, tmp_path, trainer, digits):
    callback = partial(BackboneFinetuning, unfreeze_backbone_at_epoch=1)
    module, counts = run(callback)
    frozen = Frozen()
    trainer().validate(module, datamodule=digits(), ckpt_path=tmp_path / "first/epoch=2.ckpt", verbose=False)
    trainer(callbacks=[callback(), frozen]).fit(module, datamodule=digits())
    assert frozen.counts == counts[:1]


def test_several_processes_are_refused(trainer, digits, stage1_module):
    data = digits()
    several = trainer(devices=2, strategy="ddp", callbacks=[BackboneFinetuning(1)])
    with pytest.raises(UsageError, match=r"BackboneFinetuning unfreezes .* 2 processes .* give `trainer.devices` 1"):
        stage1_module(data).check(data, several)
    stage1_module(data).check(data, trainer(devices=2, strategy="ddp"))


@pytest.mark.parametrize(
    ("schedule", "name"),
    [
        (one_cycle, "OneCycleLR"),
        (lambda o: SequentialLR(o, [LinearLR(o), one_cycle(o)], [1]), "SequentialLR"),
        (lambda o: ChainedScheduler([one_cycle(o), StepLR(o, 2)], o), "ChainedScheduler"),
    ],
)
def test_a_schedule_that_fails_with_a_later_group_is_refused(trainer, digits, stage1_module, schedule, name):
    sentence = f"^`trainer.callbacks` BackboneFinetuning gives .* `model.lr_scheduler` {name} fails; give another"
    data = digits()
    run = trainer(3, callbacks=[BackboneFinetuning(1)])
    with pytest.raises(UsageError, match=sentence):
        run.fit(stage1_module(data, lr_scheduler=schedule), datamodule=data)
    assert run.global_step == 0
    with pytest.raises(UsageError, match=sentence):  # as a pipeline asks of later stages
        stage1_module(data, lr_scheduler=schedule).check(data, trainer(3, callbacks=[BackboneFinetuning(1)]))
    stage1_module(data, lr_scheduler=schedule).check(data, trainer(3))


@pytest.mark.parametrize(
    "schedule",
    [
        CosineLR,
        partial(CosineAnnealingLR, T_max=3),
        partial(StepLR, step_size=1),
        partial(MultiStepLR, milestones=[2]),
        lambda o: SequentialLR(o, [LinearLR(o), ExponentialLR(o, 0.9)], [1]),
        lambda o: ChainedScheduler([LinearLR(o), StepLR(o, 2)], o),
    ],
)
def test_other_schedules_go_with_it(trainer, digits, stage1_module, schedule):
    data = digits()
    run = trainer(3, callbacks=[BackboneFinetuning(1)])
    run.fit(stage1_module(data, lr_scheduler=schedule), datamodule=data)
    assert run.current_epoch == 3


def test_a_schedule_goes_with_what_is_unfrozen_after_the_run(trainer, digits, stage1_module):
    data = digits()
    stage1_module(data, lr_scheduler=one_cycle).check(data, trainer(3, callbacks=[BackboneFinetuning(3)]))


def test_of_a_callback_of_ones_own_nobody_knows_what_it_unfreezes(trainer, digits, stage1_module):
    data = digits()
    stage1_module(data, lr_scheduler=one_cycle).check(data, trainer(3, callbacks=[WithNormalisation()]))
    with pytest.warns(UserWarning, match="what `trainer.callbacks` WithNormalisation may unfreeze .* drift apart"):
        stage1_module(data).check(data, trainer(devices=2, strategy="ddp", callbacks=[WithNormalisation()]))

"""Resuming, for both stages."""

from math import cos, pi

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from short_runs import sgd

from lt_lightning.errors import UsageError
from lt_lightning.heads import LinearHead
from lt_lightning.modules import RepresentationModule


def keep(folder, **when):
    return ModelCheckpoint(folder, filename="{step}", save_top_k=-1, enable_version_counter=False, **when)


@pytest.mark.slow
def test_worker_processes_resume_in_the_epoch_they_should(tmp_path, trainer, digits, stage1_module):
    """Workers fetch ahead, and must not do so before the sampler knows its epoch."""
    options = {"enable_checkpointing": True, "max_epochs": 2}
    runs = []
    for checkpoint in (None, tmp_path / "step=7.ckpt"):
        torch.manual_seed(0)
        data = digits(num_workers=1)
        module = stage1_module(data, optimizer=sgd)
        callback = keep(tmp_path / ("again" if checkpoint else ""), every_n_train_steps=1)
        trainer(callbacks=[callback], **options).fit(module, datamodule=data, ckpt_path=checkpoint)
        runs.append(module.state_dict())
    assert all(torch.equal(runs[1][key], tensor) for key, tensor in runs[0].items())


def test_testing_a_checkpoint_from_inside_an_epoch_skips_nothing_later(tmp_path, trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data, optimizer=sgd)
    saving = {"callbacks": [keep(tmp_path, every_n_train_steps=1)], "enable_checkpointing": True}
    trainer(**saving).fit(module, datamodule=data)
    trainer(**saving).test(module, datamodule=data, ckpt_path=tmp_path / "step=2.ckpt", verbose=False)
    again = trainer()
    again.fit(stage1_module(data, optimizer=sgd), datamodule=data)
    assert again.global_step == 5


@pytest.mark.parametrize(
    ("when", "step"),
    [
        ({"every_n_train_steps": 1}, 7),  # in the middle of epoch 1
        ({"every_n_train_steps": 1}, 6),  # after its first batch
        ({"every_n_train_steps": 1}, 9),  # before its last
        ({"every_n_train_steps": 5}, 10),  # after its last, before validation
        ({"save_on_train_epoch_end": False}, 10),  # after validation
        ({"save_on_train_epoch_end": True}, 10),  # after the epoch
    ],
)
def test_a_resumed_run_ends_as_the_uninterrupted_one(tmp_path, trainer, digits, stage1_module, when, step):
    options = {"enable_checkpointing": True, "max_epochs": 3}
    torch.manual_seed(0)
    data = digits()
    whole = stage1_module(data, optimizer=sgd)
    trainer(callbacks=[keep(tmp_path, **when)], **options).fit(whole, datamodule=data)

    torch.manual_seed(1)  # neither initial weights nor the global generator may matter
    data = digits()
    resumed = stage1_module(data, optimizer=sgd)
    run = trainer(callbacks=[keep(tmp_path / "again", **when)], **options)
    run.fit(resumed, datamodule=data, ckpt_path=tmp_path / f"step={step}.ckpt")
    assert (run.global_step, run.current_epoch) == (15, 3)
    assert resumed.epochs_trained == 3
    weights = resumed.state_dict()
    assert all(torch.equal(weights[key], tensor) for key, tensor in whole.state_dict().items())
    assert str(resumed.evaluation) == str(whole.evaluation)


class Dropping(LinearHead):
    def forward(self, features):
        return super().forward(torch.dropout(features, 0.5, self.training))


@pytest.mark.parametrize("step", [7, 10])  # in the middle of epoch 1, and between epochs
def test_a_resumed_run_draws_in_dropout_what_the_uninterrupted_one_drew(
    tmp_path, trainer, digits, stage1_module, step, monkeypatch
):
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    options, when = {"enable_checkpointing": True, "max_epochs": 3}, {"every_n_train_steps": 1}
    whole, resumed = (stage1_module(digits(), head=Dropping, optimizer=sgd) for _ in range(2))
    trainer(callbacks=[keep(tmp_path, **when)], **options).fit(whole, datamodule=digits())
    run = trainer(callbacks=[keep(tmp_path / "again", **when)], **options)
    run.fit(resumed, datamodule=digits(), ckpt_path=tmp_path / f"step={step}.ckpt")
    assert all(torch.equal(resumed.state_dict()[key], tensor) for key, tensor in whole.state_dict().items())


class Rates(Callback):
    """Keeps the learning rate of each epoch's first step."""

    def __init__(self):
        self.rates = []

    def on_train_epoch_start(self, trainer, pl_module):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def test_a_finished_run_goes_on_at_the_rate_of_the_longer_one(tmp_path, trainer, digits, stage1_module):
    data, seen = digits(), Rates()
    first = trainer(max_epochs=2)
    first.fit(stage1_module(data, optimizer=sgd), datamodule=data)
    first.save_checkpoint(tmp_path / "last.ckpt")
    longer = trainer(max_epochs=4, callbacks=[seen])
    longer.fit(stage1_module(data, optimizer=sgd), datamodule=data, ckpt_path=tmp_path / "last.ckpt")
    assert seen.rates == pytest.approx([0.1 * (1 + cos(pi * epoch / 4)) / 2 for epoch in (2, 3)])


def test_checkpoints_load_without_unpickling_and_know_their_age(tmp_path, trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data, flip_average=True)
    run = trainer(max_epochs=2)
    run.fit(module, datamodule=data)
    run.save_checkpoint(tmp_path / "x.ckpt")
    content = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert content["lt_lightning"]["class_counts"] == data.class_counts
    assert content["lt_lightning"]["split"]["hashes"] == data.describe_split()["hashes"]
    assert content["hyper_parameters"]["flip_average"] is True
    assert "backbone" not in content["hyper_parameters"]  # made in Python, no plain value
    loaded = RepresentationModule.load_from_checkpoint(tmp_path / "x.ckpt", backbone=stage1_module(data).backbone)
    assert loaded.flip_average
    assert loaded.epochs_trained == 2
    trainer().test(loaded, datamodule=digits(), verbose=False)
    assert loaded.evaluation["test"]["epoch"] == 2


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (
            {"max_count": 60},
            r"The checkpoint was trained on 276 images in 10 classes \(100 to 2 a class\), but the data have .*; give",
        ),
        (
            {"subset": 5},
            r"trained on other images than these data select \(split hash .*validation images may have been",
        ),
    ],
)
def test_other_data_are_refused_when_resuming(tmp_path, trainer, digits, stage1_module, other, sentence):
    data = digits()
    run = trainer()
    run.fit(stage1_module(data), datamodule=data)
    run.save_checkpoint(tmp_path / "x.ckpt")
    data = digits(**other)
    with pytest.raises(UsageError, match=sentence):
        trainer(max_epochs=2).fit(stage1_module(data), datamodule=data, ckpt_path=tmp_path / "x.ckpt")
    module = stage1_module(data, allow_changed_data=True)
    trainer(max_epochs=2).fit(module, datamodule=data, ckpt_path=tmp_path / "x.ckpt")
    assert module.epochs_trained == 2


def test_weights_of_64_bits_are_restored_with_all_their_digits(tmp_path, trainer, digits, stage1_module):
    class Start(Callback):
        def on_train_start(self, trainer, pl_module):
            self.weights = {key: tensor.clone() for key, tensor in pl_module.state_dict().items()}

    data, start = digits(), Start()
    options = {"precision": "64-true", "enable_checkpointing": True}
    trainer(callbacks=[keep(tmp_path)], **options).fit(stage1_module(data), datamodule=data)
    path = tmp_path / "step=5.ckpt"
    saved = torch.load(path, weights_only=True)["state_dict"]
    assert not torch.equal(saved["head.weight"], saved["head.weight"].float().double())
    again = trainer(2, callbacks=[keep(tmp_path / "again"), start], **options)
    again.fit(stage1_module(data), datamodule=data, ckpt_path=path)
    assert all(torch.equal(start.weights[key], tensor) for key, tensor in saved.items())
    tested = stage1_module(data)
    trainer(callbacks=[keep(tmp_path / "unused")], **options).test(
        tested, datamodule=data, ckpt_path=path, verbose=False
    )
    assert all(torch.equal(tested.state_dict()[key], tensor) for key, tensor in saved.items())

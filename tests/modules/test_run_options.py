"""Options and figures that a run is refused for before it begins, and those that it has."""

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    EarlyStopping,
    GradientAccumulationScheduler,
    LambdaCallback,
    ModelCheckpoint,
)
from lightning.pytorch.cli import ReduceLROnPlateau

from lt_lightning.errors import UsageError
from lt_lightning.modules.evaluation import Evaluation


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"accumulate_grad_batches": 0}, "^`trainer.accumulate_grad_batches` must be at least 1, but got 0"),
        ({"check_val_every_n_epoch": 0}, "^`trainer.check_val_every_n_epoch` must be at least 1, but got 0"),
        ({"val_check_interval": 0}, "^`trainer.val_check_interval` must be above 0, but got 0"),
        ({"max_epochs": 0}, "^`trainer.max_epochs` is 0, so nothing would be trained"),
        ({"max_steps": 0}, "^`trainer.max_steps` is 0, so nothing"),
        ({"limit_train_batches": 0}, "^`trainer.limit_train_batches` is 0, so nothing"),
        ({"callbacks": [EarlyStopping("val_acc")]}, "^`EarlyStopping` goes by `monitor` 'val_acc', which nothing logs"),
        ({"callbacks": [EarlyStopping("val/loss")]}, "'val/loss', which nothing logs; give one of val/all, "),
        ({"callbacks": [EarlyStopping("val/all")]}, "with `mode` min, but the higher that is, .* give `mode` max"),
        ({"callbacks": [EarlyStopping("val/ece", mode="max")]}, "with `mode` max, but the lower .* give `mode` min"),
        ({"callbacks": [EarlyStopping("train/loss_epoch", mode="max")]}, "with `mode` max, but the lower"),
        (
            {"callbacks": [EarlyStopping("train/loss")]},
            "^`EarlyStopping` goes by `monitor` 'train/loss', the mean of the last steps, .* give train/loss_epoch",
        ),
        ({"callbacks": [ModelCheckpoint(monitor="train/loss")], "enable_checkpointing": True}, "give train/loss_epoch"),
        (
            {"callbacks": [ModelCheckpoint(monitor="train/loss", every_n_train_steps=3)], "enable_checkpointing": True},
            "^`ModelCheckpoint` goes by `monitor` 'train/loss', .* give train/loss_epoch",
        ),
        ({"callbacks": [EarlyStopping("train/loss")], "log_every_n_steps": 0}, "give train/loss_epoch"),
        (
            {"callbacks": [EarlyStopping("train/loss_epoch")], "val_check_interval": 0.5},
            "'train/loss_epoch', .* only when an epoch has ended; give it `check_on_train_epoch_end` true",
        ),
        (
            {
                "callbacks": [ModelCheckpoint(monitor="train/loss_epoch")],
                "check_val_every_n_epoch": 2,
                "enable_checkpointing": True,
            },
            "'train/loss_epoch', .* give it `save_on_train_epoch_end` true",
        ),
        (
            {
                "callbacks": [ModelCheckpoint(monitor="train/loss_epoch", every_n_train_steps=5)],
                "enable_checkpointing": True,
            },
            "'train/loss_epoch', .* have it save by `every_n_epochs`",
        ),
        (
            {"callbacks": [EarlyStopping("val/all", mode="max")], "limit_val_batches": 0},
            "there will be no validation images",
        ),
    ],
)
def test_a_run_that_would_fail_or_train_nothing_is_refused(trainer, digits, stage1_module, options, sentence):
    data = digits()
    run = trainer(**{"max_epochs": 1, **options})
    with pytest.raises(UsageError, match=sentence):
        run.fit(stage1_module(data), datamodule=data)
    assert run.global_step == 0
    with pytest.raises(UsageError, match=sentence):  # as a pipeline asks of later stages
        stage1_module(data).check(data, trainer(**{"max_epochs": 1, **options}))


def test_a_group_without_classes_has_no_figure(trainer, digits, stage1_module):
    data = digits(group_thresholds=(0, 50))
    run = trainer(1, callbacks=[EarlyStopping("val/few", mode="max")])
    with pytest.raises(UsageError, match="'val/few', but no class is in that group"):
        run.fit(stage1_module(data), datamodule=data)


@pytest.mark.parametrize(
    "callback",
    [
        EarlyStopping("val/all", mode="max"),
        EarlyStopping("val/ece"),
        EarlyStopping("train/loss_epoch"),
        ModelCheckpoint(monitor="train/loss", every_n_train_steps=100),  # as often as it is logged
        EarlyStopping("val_acc", strict=False),  # of which Lightning warns, as its user has asked
        ModelCheckpoint(monitor="val/many", mode="max"),
        ModelCheckpoint(),
        ModelCheckpoint(monitor="val/all", save_top_k=-1),  # which keeps all
        ModelCheckpoint(monitor="step", mode="max"),
    ],
)
def test_figures_that_there_are_may_be_gone_by(trainer, digits, stage1_module, callback):
    data = digits()
    saves = isinstance(callback, ModelCheckpoint)
    stage1_module(data).check(data, trainer(1, callbacks=[callback], enable_checkpointing=saves))


def test_a_method_that_trains_nothing_may_have_any_length(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data).requires_grad_(False)
    module.check(data, trainer(max_epochs=0))


def test_what_a_function_of_ones_own_logs_is_not_known(trainer, digits, stage1_module):
    def log(trainer, module):
        module.log("mine", 1.0)

    data = digits()
    callbacks = [EarlyStopping("mine"), LambdaCallback(on_validation_epoch_end=log)]
    stage1_module(data).check(data, trainer(1, callbacks=callbacks))


def test_parts_of_ones_own_may_log_what_they_like(trainer, digits, stage1_module):
    class Logs(Callback):
        def on_validation_epoch_end(self, trainer, pl_module):
            pl_module.log("val_mine", 1.0)

    data = digits()
    run = trainer(1, callbacks=[EarlyStopping("val_mine"), Logs()])
    run.fit(stage1_module(data), datamodule=data)
    assert run.callback_metrics["val_mine"] == 1


def test_a_schedule_looks_when_there_are_new_figures(trainer, digits, stage1_module):
    def plateau(mode):
        return stage1_module(
            data,
            optimizer=lambda p: torch.optim.SGD(p, lr=0.1),
            lr_scheduler=lambda o: ReduceLROnPlateau(o, "val/all", mode=mode, patience=0, threshold=10.0),
        )

    data = digits()
    with pytest.raises(UsageError, match=r"^`ReduceLROnPlateau` goes by `monitor` 'val/all' with `mode` min"):
        plateau("min").check(data, trainer(4))
    run = trainer(max_epochs=4, check_val_every_n_epoch=2)
    run.fit(plateau("max"), datamodule=data)
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 * 0.1)  # not better at its second look


def by_training_loss(module_of, data):
    return module_of(
        data,
        optimizer=lambda p: torch.optim.SGD(p, lr=0.1),
        lr_scheduler=lambda o: ReduceLROnPlateau(o, "train/loss_epoch", patience=0, threshold=10.0),
    )


def test_what_goes_by_the_training_loss_has_it_when_each_epoch_ends(tmp_path, trainer, digits, stage1_module):
    data = digits()
    saver = ModelCheckpoint(tmp_path, monitor="train/loss_epoch")
    run = trainer(
        max_epochs=3,
        callbacks=[EarlyStopping("train/loss_epoch"), saver],
        enable_checkpointing=True,
        log_every_n_steps=5,  # an epoch's steps
    )
    run.fit(by_training_loss(stage1_module, data), datamodule=data)
    assert run.current_epoch == 3
    assert saver.best_model_score <= run.callback_metrics["train/loss_epoch"]
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 * 0.1**3)  # it has looked at each epoch's


def test_a_loss_that_is_logged_in_each_epoch_may_be_gone_by(trainer, digits, stage1_module):
    data = digits()
    stage1_module(data).check(data, trainer(callbacks=[EarlyStopping("train/loss")], log_every_n_steps=5))
    shorter = trainer(callbacks=[EarlyStopping("train/loss")], log_every_n_steps=5, limit_train_batches=4)
    with pytest.raises(UsageError, match=r"`trainer.log_every_n_steps` 5 will not have logged when it is looked at"):
        stage1_module(data).check(data, shorter)
    run = trainer(max_epochs=2, callbacks=[EarlyStopping("train/loss")], log_every_n_steps=1)
    run.fit(stage1_module(data), datamodule=data)
    assert run.current_epoch == 2


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"accumulate_grad_batches": 2}, 3),
        ({"limit_train_batches": 0.8}, 4),
        ({"limit_train_batches": 1.0}, 5),
        ({"limit_train_batches": 4, "accumulate_grad_batches": 2}, 2),
        ({"overfit_batches": 3}, 3),
        ({"callbacks": [GradientAccumulationScheduler({0: 3})]}, 2),
    ],
)
def test_a_loss_is_logged_by_steps_and_not_by_batches(trainer, digits, stage1_module, options, steps):
    data = digits()
    callbacks = [EarlyStopping("train/loss"), *options.get("callbacks", [])]
    for interval in (steps, steps + 1):
        run = trainer(1, **{**options, "callbacks": callbacks, "log_every_n_steps": interval})
        if interval == steps:
            stage1_module(data).check(data, run)
            continue
        with pytest.raises(UsageError, match=rf"`trainer.log_every_n_steps` {interval} will not have logged"):
            stage1_module(data).check(data, run)


def test_a_module_of_ones_own_may_log_a_loss_when_it_likes(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data)
    module.__class__ = type("Mine", (type(module),), {})
    module.check(data, trainer(callbacks=[EarlyStopping("train/loss")]))


def test_a_schedule_does_not_go_by_figures_that_may_be_missing_when_an_epoch_ends(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data, lr_scheduler=lambda o: ReduceLROnPlateau(o, "val/all", mode="max"))
    run = trainer(max_epochs=3, check_val_every_n_epoch=None, val_check_interval=7)
    with pytest.raises(UsageError, match=r"^`ReduceLROnPlateau` .* 'val/all' .* `trainer.check_val_every_n_epoch` is"):
        run.fit(module, datamodule=data)
    assert run.global_step == 0


def test_a_resumed_run_does_not_look_for_a_batch_size(tmp_path, trainer, digits, stage1_module):
    data = digits()
    run = trainer()
    run.fit(stage1_module(data), datamodule=data)
    run.save_checkpoint(tmp_path / "last.ckpt")
    again = trainer(2, callbacks=[BatchSizeFinder()], default_root_dir=tmp_path, enable_checkpointing=True)
    sentence = r"^`trainer.callbacks` BatchSizeFinder .* leave it out, and give what it found, .* as an option\.$"
    with pytest.raises(UsageError, match=sentence):
        again.fit(stage1_module(data), datamodule=data, ckpt_path=tmp_path / "last.ckpt")
    assert again.global_step == 0


def test_figures_are_named_as_they_are_logged():
    made = Evaluation([30, 3, 2, 1], (2, 10))
    made.update(torch.eye(4), torch.eye(4), torch.arange(4))
    assert list(made.figures()) == list(made.scalars())
    assert made.figures() == dict.fromkeys(made.scalars(), 4) | {"many": 1, "medium": 2, "few": 1}

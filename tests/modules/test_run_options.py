"""Options and figures that a run is refused for before it begins, and those that it has."""

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, LambdaCallback, ModelCheckpoint
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
        ({"callbacks": [EarlyStopping("train/loss", mode="max")]}, "with `mode` max, but the lower"),
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
        EarlyStopping("train/loss_epoch_end"),
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


def test_figures_are_named_as_they_are_logged():
    made = Evaluation([30, 3, 2, 1], (2, 10))
    made.update(torch.eye(4), torch.eye(4), torch.arange(4))
    assert list(made.figures()) == list(made.scalars())
    assert made.figures() == dict.fromkeys(made.scalars(), 4) | {"many": 1, "medium": 2, "few": 1}

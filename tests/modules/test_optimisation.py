"""Optimisers and schedules: what is refused before training, and what a Trainer is given."""

from functools import partial

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import ReduceLROnPlateau
from torch.optim.lr_scheduler import ConstantLR, CyclicLR, OneCycleLR, SequentialLR, StepLR

from lt_lightning.backbones import SmallCNN
from lt_lightning.errors import UsageError
from lt_lightning.modules import RepresentationModule
from lt_lightning.schedules import CosineLR


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"optimizer": lambda p: torch.optim.SGD(p, lr=-1)},
            "`model.optimizer` refuses .*learning rate: -1",
        ),
        (
            {"lr_scheduler": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.1, total_steps=0)},
            "`model.lr_scheduler` refuses its values .*total_steps",
        ),
        ({"lr_scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau}, "does not say which figure.*`monitor` val/all"),
    ],
)
def test_values_that_cannot_be_are_found_before_anything_trains(digits, stage1_module, options, sentence):
    """A pipeline asks the same of all its stages before the first one trains."""
    data = digits()
    with pytest.raises(UsageError, match=sentence):
        stage1_module(data, **options).check(data)


def test_a_rate_falls_where_a_figure_no_longer_gets_better(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(
        data,
        optimizer=lambda p: torch.optim.SGD(p, lr=0.1),
        lr_scheduler=lambda o: ReduceLROnPlateau(o, "val/all", mode="max", patience=0, threshold=10.0),
    )
    run = trainer(max_epochs=3)
    run.fit(module, datamodule=data)
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 * 0.1**2)


def one_cycle(length):
    return partial(OneCycleLR, max_lr=0.1, total_steps=length)


def test_a_cycle_that_ends_before_the_run_is_found_before_anything_trains(trainer, digits, stage1_module):
    sentence = r"`model.lr_scheduler` OneCycleLR is 2 steps long, .* once per epoch, 3 times .*; give `total_steps` 3\."
    data = digits()
    run = trainer(max_epochs=3)
    with pytest.raises(UsageError, match=sentence):
        run.fit(stage1_module(data, lr_scheduler=one_cycle(2)), datamodule=data)
    assert run.global_step == 0
    with pytest.raises(UsageError, match=sentence):  # as a pipeline asks of later stages
        stage1_module(data, lr_scheduler=one_cycle(2)).check(data, trainer(max_epochs=3))


@pytest.mark.parametrize(
    ("schedule", "sentence"),
    [
        (one_cycle(15), "OneCycleLR is 15 steps long, .* does not come to its end; give `total_steps` 3 for one"),
        (partial(CyclicLR, base_lr=0.01, max_lr=0.1), "CyclicLR is 4000 steps long, .*; give its sizes in epochs for"),
    ],
)
def test_a_schedule_in_steps_is_warned_of(trainer, digits, stage1_module, schedule, sentence):
    data = digits()
    with pytest.warns(UserWarning, match=sentence):
        stage1_module(data, lr_scheduler=schedule).check(data, trainer(max_epochs=3))


def test_a_cycle_of_the_runs_length_is_trained_whole_and_not_beyond(tmp_path, trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data, lr_scheduler=one_cycle(2))

    def saving(folder, epochs):
        return trainer(epochs, callbacks=[ModelCheckpoint(folder, filename="last")], enable_checkpointing=True)

    run = saving(tmp_path, 2)
    run.fit(module, datamodule=data)
    assert run.global_step == 10
    module = stage1_module(data, lr_scheduler=one_cycle(3))
    with pytest.raises(UsageError, match=r"is 2 steps long, .*; set `trainer.max_epochs` to 2, as in the run"):
        saving(tmp_path / "again", 3).fit(module, datamodule=data, ckpt_path=tmp_path / "last.ckpt")
    trainer(fast_dev_run=True).fit(stage1_module(data, lr_scheduler=one_cycle(30)), datamodule=data)


def warmed_up(optimizer, epochs):
    return SequentialLR(optimizer, [ConstantLR(optimizer, 0.5, 1), CosineLR(optimizer, epochs=epochs)], [1])


def test_a_cosine_inside_another_schedule_is_refused_before_anything_trains_unless_it_has_a_length(
    trainer, digits, stage1_module
):
    sentence = "`CosineLR` inside `SequentialLR` has no length, .*; give it the number of epochs that it takes, by `ep"
    data, run = digits(), trainer(max_epochs=3)
    module = stage1_module(data, lr_scheduler=lambda o: warmed_up(o, None))
    with pytest.raises(UsageError, match=sentence):
        run.fit(module, datamodule=data)
    assert run.global_step == 0
    with pytest.raises(UsageError, match=sentence):  # as a pipeline asks of later stages
        module.check(data)
    module = stage1_module(data, optimizer=lambda p: torch.optim.SGD(p, lr=0.1), lr_scheduler=lambda o: warmed_up(o, 2))
    run = trainer(max_epochs=2)
    run.fit(module, datamodule=data)
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 / 2)  # half of its cosine


class SteppedByItself(RepresentationModule):
    """Steps its own schedule in every step."""

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        stepped = {"scheduler": OneCycleLR(optimizer, max_lr=0.1, total_steps=15), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": stepped}


def test_a_schedule_that_a_module_of_ones_own_steps_is_its_affair(trainer, digits):
    data = digits()
    module = SteppedByItself(data.class_counts, SmallCNN(8), group_thresholds=data.group_thresholds)
    run = trainer(max_epochs=3)
    run.fit(module, datamodule=data)  # and a warning would be an error
    assert run.global_step == 15


@pytest.mark.parametrize("schedule", [CosineLR, one_cycle(3)])
def test_a_schedule_whose_end_steps_do_not_suffice_for_is_a_warning(trainer, digits, stage1_module, schedule):
    data = digits()
    sentence = r"^`model.lr_scheduler` \w+ is 3 epochs long, .* as `trainer.max_steps` 10 ends it; set `trainer.max_ep"
    with pytest.warns(UserWarning, match=sentence):
        trainer(max_epochs=3, max_steps=10).fit(stage1_module(data, lr_scheduler=schedule), datamodule=data)


@pytest.mark.parametrize(
    ("options", "schedule"),
    [
        ({"max_steps": 11}, CosineLR),  # within its last epoch
        ({"max_steps": 2}, partial(StepLR, step_size=1)),
        ({"max_steps": 2}, lambda o: CosineLR(o, epochs=9)),  # nor would it come to its end by itself
        ({"fast_dev_run": 2}, CosineLR),
    ],
)
def test_other_schedules_may_be_left_early(trainer, digits, stage1_module, options, schedule):
    data = digits()
    run = trainer(**{"max_epochs": 3, **options})
    run.fit(stage1_module(data, lr_scheduler=schedule), datamodule=data)
    assert run.global_step == options.get("max_steps", 2)  # and no warning, which would be an error here

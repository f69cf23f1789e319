"""Runs that end inside an epoch, and runs that are over."""

from collections import Counter

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import (
    GradientAccumulationScheduler,
    LambdaCallback,
    ModelCheckpoint,
    StochasticWeightAveraging,
)
from short_runs import sgd

from lt_lightning.errors import UsageError
from lt_lightning.heads import MaxNormHead
from lt_lightning.modules.loop_state import mark_unfinished_epoch

ended_early = pytest.mark.filterwarnings("ignore:`model.lr_scheduler` CosineLR is . epochs long:UserWarning")


class StopAt(Callback):
    """Ends a run after some steps, as a time limit does."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = trainer.global_step >= self.step


def last(folder):
    return ModelCheckpoint(folder, filename="last", save_on_train_epoch_end=True)


def again(folder, trainer, **options):
    return trainer(callbacks=[last(folder / "again")], enable_checkpointing=True, **options)


@ended_early
@pytest.mark.parametrize(
    ("end", "begin"),
    [
        ({"max_steps": 7}, {}),  # five steps make an epoch
        ({"max_steps": 3}, {}),
        ({"max_steps": 10}, {}),
        ({"max_steps": 7}, {"max_steps": 15}),
        ({"stop": 7}, {}),
        ({"stop": 9}, {}),
    ],
)
def test_a_run_that_was_ended_inside_an_epoch_goes_on_from_there(tmp_path, trainer, digits, stage1_module, end, begin):
    torch.manual_seed(0)
    data = digits()
    whole = stage1_module(data, optimizer=sgd)
    trainer(3).fit(whole, datamodule=data)

    torch.manual_seed(0)
    data = digits()
    first = stage1_module(data, optimizer=sgd)
    stop = end.get("stop")
    options = {"max_steps": end.get("max_steps", -1), "enable_checkpointing": True}
    callbacks = [last(tmp_path), *([StopAt(stop)] if stop else [])]
    trainer(3, callbacks=callbacks, **options).fit(first, datamodule=data)
    steps = stop or end["max_steps"]
    assert first.epochs_trained == steps // 5

    data = digits()
    resumed = stage1_module(data, optimizer=sgd)
    run = again(tmp_path, trainer, max_epochs=3, **begin)
    run.fit(resumed, datamodule=data, ckpt_path=tmp_path / "last.ckpt")
    assert run.global_step == 15
    assert resumed.epochs_trained == 3
    weights = resumed.state_dict()
    assert all(torch.equal(weights[key], tensor) for key, tensor in whole.state_dict().items())


@ended_early
def test_a_file_saved_after_such_a_run_is_as_good(tmp_path, trainer, digits, stage1_module):
    data = digits()
    run = trainer(2, max_steps=3)
    run.fit(stage1_module(data), datamodule=data)
    run.save_checkpoint(tmp_path / "after.ckpt")
    assert torch.load(tmp_path / "after.ckpt", weights_only=True)["epoch"] == 0
    run = trainer(2)
    run.fit(stage1_module(data := digits()), datamodule=data, ckpt_path=tmp_path / "after.ckpt")
    assert run.global_step == 10


def test_what_has_no_place_is_left_alone():
    checkpoint = {"epoch": 3}
    mark_unfinished_epoch(checkpoint)
    assert checkpoint == {"epoch": 3}


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (
            {"max_epochs": 2},
            r"last.ckpt' has had its 2 epochs of training already, so nothing was left to train; raise "
            r"`trainer\.max_epochs` to go on\.",
        ),
        ({"max_epochs": 1}, r"has had its 2 epochs of training already"),
        ({"max_epochs": 5, "max_steps": 10}, r"has had its 10 steps .* raise `trainer\.max_steps` to go on\."),
    ],
)
def test_resuming_what_is_over_says_so(tmp_path, trainer, digits, stage1_module, limits, sentence):
    data = digits()
    trainer(2, callbacks=[last(tmp_path)], enable_checkpointing=True).fit(stage1_module(data), datamodule=data)
    with pytest.warns(UserWarning, match=sentence):
        again(tmp_path, trainer, **limits).fit(stage1_module(data), datamodule=data, ckpt_path=tmp_path / "last.ckpt")


def test_a_run_whose_time_is_up_says_so_and_so_does_one_that_is_resumed(tmp_path, trainer, digits, stage1_module):
    limit = {"max_time": {"microseconds": 1}, "callbacks": [last(tmp_path)], "enable_checkpointing": True}
    with pytest.warns(UserWarning, match=r"^`trainer.max_time` was up after 1 steps, 0 whole epochs of training"):
        trainer(2, **limit).fit(stage1_module(data := digits()), datamodule=data)
    sentence = r"has had its time of training already, .* raise `trainer\.max_time` to go on\."
    with pytest.warns(UserWarning, match=sentence):
        again(tmp_path, trainer, max_epochs=2, max_time={"microseconds": 1}).fit(
            stage1_module(data := digits()), datamodule=data, ckpt_path=tmp_path / "last.ckpt"
        )


def test_a_run_that_ends_within_its_time_says_nothing(recwarn, trainer, digits, stage1_module):
    trainer(1, max_time={"hours": 1}).fit(stage1_module(data := digits()), datamodule=data)
    assert not [warning for warning in recwarn if "max_time" in str(warning.message)]


def test_a_run_that_trains_says_nothing(recwarn, tmp_path, trainer, digits, stage1_module):
    data = digits()
    trainer(1, callbacks=[last(tmp_path)], enable_checkpointing=True).fit(stage1_module(data), datamodule=data)
    again(tmp_path, trainer, max_epochs=2).fit(stage1_module(data), datamodule=data, ckpt_path=tmp_path / "last.ckpt")
    assert not [warning for warning in recwarn if "nothing was left" in str(warning.message)]


@ended_early
@pytest.mark.parametrize("end", [{"max_steps": 7}, {"stop": 7}])
def test_a_head_that_projects_once_an_epoch_does_so_where_a_run_ends_within_one(
    tmp_path, trainer, digits, stage1_module, end
):
    data, validated = digits(), []
    module = stage1_module(
        data, head=lambda d, counts: MaxNormHead(d, counts, radius=0.3, project_every="epoch"), optimizer=sgd
    )

    class Within(Callback):
        def on_validation_start(self, trainer, pl_module):
            validated.append(within(pl_module.head.weight))

    def within(weight):
        return bool((weight.norm(dim=1) <= 0.3 + 1e-6).all())

    stop = [StopAt(end["stop"])] if "stop" in end else []
    run = trainer(
        3,
        callbacks=[last(tmp_path), Within(), *stop],
        enable_checkpointing=True,
        num_sanity_val_steps=0,
        max_steps=end.get("max_steps", -1),
    )
    run.fit(module, datamodule=data)
    assert run.global_step == 7
    assert within(module.head.weight)
    assert within(torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]["head.weight"])
    assert validated == [True] * (2 if stop else 1)


def test_a_trial_that_trains_nothing_names_its_option(recwarn, tmp_path, trainer, digits, stage1_module):
    data = digits()
    trainer(1, callbacks=[last(tmp_path)], enable_checkpointing=True).fit(stage1_module(data), datamodule=data)
    again(tmp_path, trainer, fast_dev_run=True).fit(
        stage1_module(data), datamodule=data, ckpt_path=tmp_path / "last.ckpt"
    )
    (said,) = (str(one.message) for one in recwarn if "nothing was left" in str(one.message))
    assert said.endswith("; leave out `trainer.fast_dev_run` to go on.")


@pytest.fixture
def fit(trainer, digits, stage1_module):
    """Trains three epochs on the digits, and saves after each step."""

    def make(folder, ckpt_path=None, callbacks=(), **options):
        torch.manual_seed(0)
        data, keep = digits(), ModelCheckpoint(folder, filename="{step}", save_top_k=-1, every_n_train_steps=1)
        module = stage1_module(data, optimizer=sgd)
        run = trainer(3, callbacks=[keep, *callbacks], enable_checkpointing=True, **options)
        run.fit(module, datamodule=data, ckpt_path=ckpt_path)
        return run, module

    return make


@pytest.mark.parametrize("option", [{"limit_train_batches": 2}, {"limit_train_batches": 0.4}, {"overfit_batches": 1}])
def test_an_epoch_is_not_gone_on_with_that_has_no_more_batches(tmp_path, fit, option):
    fit(tmp_path)
    number = option.get("overfit_batches", 2)
    sentence = rf"step=7.ckpt' was written 2 batches into an epoch, .* has only {number}; give `trainer.limit_train_ba"
    with pytest.raises(UsageError, match=sentence):
        fit(tmp_path / "again", tmp_path / "step=7.ckpt", **option)
    assert not list((tmp_path / "again").glob("*.ckpt"))


def test_an_epoch_that_has_more_batches_or_has_ended_is_gone_on_with(tmp_path, fit):
    fit(tmp_path)
    run, module = fit(tmp_path / "again", tmp_path / "step=7.ckpt", limit_train_batches=3)
    assert run.global_step == 7 + 1 + 3
    assert module.epochs_trained == 3
    run, _ = fit(tmp_path / "once more", tmp_path / "step=5.ckpt", limit_train_batches=3)
    assert run.global_step == 5 + 3 + 3


@pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint need to be provided:UserWarning")
def test_an_epoch_that_has_ended_at_fewer_batches_takes_none_from_the_next(tmp_path, fit):
    def trained(saving, **options):
        counts = Counter()
        count = LambdaCallback(on_train_batch_end=lambda run, *_: counts.update([run.current_epoch]))
        fit(tmp_path / f"{saving} again", tmp_path / saving / "step=3.ckpt", [count], **options)
        return counts

    fit(tmp_path / "steps", limit_train_batches=3)
    with pytest.raises(UsageError, match=r"was written after the last of 3 batches of an epoch, but one of .* has 5;"):
        trained("steps")
    assert trained("steps", limit_train_batches=3) == {1: 3, 2: 3}
    by_epochs = ModelCheckpoint(tmp_path / "epochs", filename="{step}", save_top_k=-1, save_on_train_epoch_end=True)
    fit(tmp_path / "unused", callbacks=[by_epochs], limit_train_batches=3)
    assert trained("epochs") == {1: 5, 2: 5}


@pytest.mark.filterwarnings("ignore:.*overriding `LightningModule.optimizer_:UserWarning")  # of Lightning's callback
@pytest.mark.parametrize("step", [5, 6, 7, 8, 9])  # as epoch 0 ends, and inside epochs of three steps and of two
def test_a_resumed_epoch_gathers_the_gradients_of_as_many_batches(tmp_path, fit, step):
    def gathering():
        return [GradientAccumulationScheduler({1: 2, 2: 3})]

    _, whole = fit(tmp_path, callbacks=gathering())
    run, resumed = fit(tmp_path / "again", tmp_path / f"step={step}.ckpt", callbacks=gathering())
    assert run.global_step == 5 + 3 + 2
    assert all(torch.equal(resumed.state_dict()[key], tensor) for key, tensor in whole.state_dict().items())


def averaging():
    return StochasticWeightAveraging(0.01, swa_epoch_start=1, annealing_epochs=2)


@pytest.mark.parametrize("step", [3, 5, 8])  # inside epoch 0, after its last batch, inside epoch 1
def test_weights_are_averaged_by_the_same_schedule_in_a_resumed_epoch(tmp_path, fit, step):
    def rates(folder, **options):
        found = {}

        def note(run, *_):
            found[run.global_step] = run.optimizers[0].param_groups[0]["lr"]

        _, module = fit(folder, callbacks=[averaging(), LambdaCallback(on_train_batch_start=note)], **options)
        return found, module.state_dict()

    expected, whole = rates(tmp_path)
    found, resumed = rates(tmp_path / "again", ckpt_path=tmp_path / f"step={step}.ckpt")
    assert found == {at: rate for at, rate in expected.items() if at >= step}
    assert all(torch.equal(resumed[key], tensor) for key, tensor in whole.items())


def test_the_pass_that_collects_statistics_is_not_gone_on_with(tmp_path, fit):
    def save(run, module, outputs, batch, index):
        if (run.current_epoch, index) == (3, 1):
            run.save_checkpoint(tmp_path / "within.ckpt")

    fit(tmp_path, callbacks=[averaging(), LambdaCallback(on_train_batch_end=save)])
    for name in ("step=15.ckpt", "within.ckpt", "step=16.ckpt"):  # before the pass, in it, and after its last batch
        with pytest.raises(UsageError, match=rf"{name}' was written in the pass .* an epoch's end, such as last\.ckpt"):
            fit(tmp_path / "again", tmp_path / name, [averaging()])


@pytest.mark.parametrize("step", [8, 10, 13])
def test_a_run_that_went_on_after_an_epochs_last_batch_is_gone_on_with_again(tmp_path, fit, step):
    begun = []
    note = LambdaCallback(on_train_epoch_start=lambda run, *_: begun.append(run.current_epoch))
    _, whole = fit(tmp_path)
    fit(tmp_path / "once", tmp_path / "step=5.ckpt", [note])
    assert begun == [1, 2]
    run, resumed = fit(tmp_path / "twice", tmp_path / "once" / f"step={step}.ckpt")
    assert run.global_step == 15
    assert all(torch.equal(resumed.state_dict()[key], tensor) for key, tensor in whole.state_dict().items())


@pytest.mark.parametrize(("batches", "lost"), [(3, 1), (4, 0)])
def test_gradients_that_a_checkpoint_does_not_hold_are_told_of(
    recwarn, tmp_path, trainer, digits, stage1_module, batches, lost
):
    def run(folder, **options):
        keep = ModelCheckpoint(folder, filename="{step}", save_top_k=-1, monitor="val/all", mode="max")
        made = {"callbacks": [keep], "enable_checkpointing": True, "val_check_interval": batches}
        data = digits()
        trainer(1, accumulate_grad_batches=2, **made).fit(stage1_module(data), datamodule=data, **options)

    run(tmp_path)
    run(tmp_path / "again", ckpt_path=tmp_path / f"step={batches // 2}.ckpt")
    said = [str(one.message) for one in recwarn if "gradients" in str(one.message)]
    assert len(said) == bool(lost)
    assert all("was written inside a step, so that the gradients of 1 of its 2 batches are lost" in one for one in said)


class SavingWithin(Callback):
    """Saves within a batch, as an exception may have it done."""

    def __init__(self, path, batch):
        self.path, self.batch = path, batch

    def on_after_backward(self, trainer, pl_module):
        if trainer.fit_loop.epoch_loop.batch_idx == self.batch:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize(("batch", "lost"), [(1, 1), (2, 0)])
def test_a_batch_within_which_a_checkpoint_was_saved_has_not_been_trained(recwarn, tmp_path, fit, batch, lost):
    path = tmp_path / "within.ckpt"
    fit(tmp_path, callbacks=[SavingWithin(path, batch)], accumulate_grad_batches=2)
    run, _ = fit(tmp_path / "again", path, accumulate_grad_batches=2)
    assert run.global_step == 9
    assert len([one for one in recwarn if f"gradients of {lost} of its 2 batches" in str(one.message)]) == lost
    fit(tmp_path / "shorter", path, limit_train_batches=batch + 1)

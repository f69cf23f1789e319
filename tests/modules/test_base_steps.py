"""A training step of either stage, and what is logged of it."""

import csv
import math

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from short_runs import sgd

from lt_lightning.backbones import SmallCNN
from lt_lightning.errors import UsageError
from lt_lightning.heads import MaxNormHead
from lt_lightning.modules import RepresentationModule
from lt_lightning.schedules import CosineLR


class Losses(Callback):
    """Keeps the loss of each batch, and its size."""

    def __init__(self):
        self.losses = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(outputs["loss"].item())


def test_logged_losses_are_means_of_the_steps_since_the_last(tmp_path, trainer, digits, stage1_module):
    data, kept = digits(), Losses()
    logger = CSVLogger(tmp_path, name="", version="")
    module = stage1_module(data, optimizer=sgd)
    trainer(max_epochs=2, log_every_n_steps=2, logger=logger, callbacks=[kept]).fit(module, datamodule=data)
    losses = kept.losses
    assert len(losses) == 10
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))

    def column(name):
        return [float(row[name]) for row in rows if row[name]]

    # Steps 1 and 2, 3 and 4, 6, 7 and 8, 9 and 10.
    expected = [sum(losses[a:b]) / (b - a) for a, b in ((0, 2), (2, 4), (5, 6), (6, 8), (8, 10))]
    assert column("train/loss") == pytest.approx(expected, rel=1e-5)
    assert column("train/loss_epoch") == pytest.approx([sum(losses[:5]) / 5, sum(losses[5:]) / 5], rel=1e-5)
    # The rate that the epoch trained at, not the one the schedule has moved on to.
    assert column("train/lr") == pytest.approx([0.1, 0.05])


def test_a_logged_loss_is_of_all_batches_whose_gradients_a_step_gathers(tmp_path, trainer, digits, stage1_module):
    data, kept = digits(), Losses()
    options = {"log_every_n_steps": 1, "accumulate_grad_batches": 2, "callbacks": [kept]}
    trainer(logger=CSVLogger(tmp_path, name="", version=""), **options).fit(stage1_module(data), datamodule=data)
    with (tmp_path / "metrics.csv").open() as file:
        logged = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    losses = kept.losses
    # Lightning gives callbacks the share of the loss that a batch has in its step.
    assert logged == pytest.approx([losses[0] + losses[1], losses[2] + losses[3], 2 * losses[4]], rel=1e-5)


def test_the_loss_of_the_whole_epoch_is_logged_where_steps_are_few(trainer, digits, stage1_module):
    data, kept = digits(), Losses()
    run = trainer(callbacks=[kept])
    run.fit(stage1_module(data), datamodule=data)
    assert len(kept.losses) == 5
    assert run.callback_metrics["train/loss_epoch"].item() == pytest.approx(sum(kept.losses) / 5, rel=1e-5)


class Trying(torch.optim.SGD):
    """Tries out other weights in each step, and leaves it at that."""

    def step(self, closure):
        weights = [parameter for group in self.param_groups for parameter in group["params"]]
        loss = closure()
        for factor in (2.0, 0.5):
            with torch.no_grad():
                torch._foreach_mul_(weights, factor)
            closure()
        super().step()
        return loss


@pytest.mark.parametrize("limit", [1, 5])
def test_a_loss_is_logged_once_of_a_batch_that_an_optimiser_asks_for_more_often(trainer, digits, stage1_module, limit):
    logged = []
    for optimiser in (torch.optim.SGD, Trying):
        torch.manual_seed(0)
        data = digits()
        module = stage1_module(data, optimizer=lambda parameters, made=optimiser: made(parameters, lr=0.1))
        module.on_after_backward = lambda: None  # a hook of one's own need not call the one that it overrides
        run = trainer(2, log_every_n_steps=1, limit_train_batches=limit)
        run.fit(module, datamodule=data)
        logged.append({name: float(value) for name, value in run.callback_metrics.items() if "loss" in name})
    assert set(logged[0]) == {"train/loss", "train/loss_epoch"}
    assert logged[1] == pytest.approx(logged[0])


class TwoViews(RepresentationModule):
    """Trains on each image and on its mirror image."""

    def training_step(self, batch, batch_idx):
        images, targets = batch
        self.views = (
            super().training_step(batch, batch_idx),
            super().training_step((images.flip(-1), targets), batch_idx),
        )
        return sum(self.views) / 2


def test_the_loss_of_an_epoch_whose_steps_ask_twice_is_of_both(trainer, digits):
    data, kept = digits(), Losses()
    module = TwoViews(data.class_counts, SmallCNN(8), group_thresholds=data.group_thresholds)
    run = trainer(callbacks=[kept])
    run.fit(module, datamodule=data)
    assert module.views[0] != module.views[1]
    assert run.callback_metrics["train/loss_epoch"].item() == pytest.approx(sum(kept.losses) / 5, rel=1e-5)


@pytest.mark.parametrize(("step", "epochs"), [(2, 1), (5, 2), (7, 2)])  # within the last epoch, or before it
def test_a_resumed_run_logs_the_loss_of_the_whole_epoch(tmp_path, trainer, digits, stage1_module, step, epochs):
    def run(folder, **options):
        torch.manual_seed(0)
        data = digits()
        saving = ModelCheckpoint(folder, filename="{step}", save_top_k=-1, every_n_train_steps=1)
        made = trainer(epochs, callbacks=[saving], enable_checkpointing=True, log_every_n_steps=2)
        made.fit(stage1_module(data, optimizer=sgd), datamodule=data, **options)
        return {name: float(value) for name, value in made.callback_metrics.items() if "loss" in name}

    whole = run(tmp_path)
    assert set(whole) == {"train/loss", "train/loss_epoch"}
    assert run(tmp_path / "again", ckpt_path=tmp_path / f"step={step}.ckpt") == whole


@pytest.mark.filterwarnings("ignore:Detected call of .lr_scheduler.step")
def test_no_learning_rate_is_logged_before_there_has_been_a_step(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data)
    module.on_train_batch_start = lambda batch, batch_idx: -1  # leaves the epoch
    run = trainer(limit_val_batches=0)
    run.fit(module, datamodule=data)
    assert "train/lr" not in run.callback_metrics


def test_nothing_is_logged_by_step_where_the_interval_is_zero(trainer, digits, stage1_module):
    data = digits()
    run = trainer(log_every_n_steps=0)
    run.fit(stage1_module(data), datamodule=data)
    assert "train/loss" not in run.callback_metrics
    assert math.isfinite(run.callback_metrics["train/loss_epoch"])


class Norms(Callback):
    """Keeps the largest weight norm after each step, and at each validation."""

    def __init__(self):
        self.after_step, self.at_validation = [], []

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.after_step.append(pl_module.head.weight.norm(dim=1).max().item())

    def on_validation_start(self, trainer, pl_module):
        if not trainer.sanity_checking:
            self.at_validation.append(pl_module.head.weight.norm(dim=1).max().item())


@pytest.mark.parametrize("project_every", ["step", "epoch"])
def test_heads_project_after_each_step_or_before_the_epochs_validation(trainer, digits, stage1_module, project_every):
    data, norms = digits(), Norms()
    module = stage1_module(
        data, head=lambda d, counts: MaxNormHead(d, counts, radius=0.3, project_every=project_every), optimizer=sgd
    )
    trainer(max_epochs=2, callbacks=[norms]).fit(module, datamodule=data)
    inside = [norm <= 0.3 + 1e-6 for norm in norms.after_step]
    assert inside == ([True] * 10 if project_every == "step" else [False] * 4 + [True] + [False] * 4 + [True])
    assert norms.at_validation == pytest.approx([0.3, 0.3])
    assert module.head.weight.norm(dim=1).max().item() == pytest.approx(0.3)


def test_a_cosine_schedule_needs_to_know_its_end(trainer, digits, stage1_module):
    data = digits()
    with pytest.raises(UsageError, match=r"`CosineLR` needs to know where training ends: set `trainer.max_epochs`"):
        trainer(max_epochs=-1, max_steps=3).fit(stage1_module(data), datamodule=data)
    module = stage1_module(data, lr_scheduler=lambda optimizer: CosineLR(optimizer, epochs=7))
    trainer(max_epochs=1).fit(module, datamodule=data)
    assert module.lr_schedulers().epochs == 7


def test_a_cosine_schedule_with_a_length_of_its_own_needs_no_other(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data, lr_scheduler=lambda optimizer: CosineLR(optimizer, epochs=7))
    trainer(max_epochs=-1, max_steps=3).fit(module, datamodule=data)
    assert (module.lr_schedulers().epochs, module.trainer.global_step) == (7, 3)

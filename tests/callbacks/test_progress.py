"""What stands behind a run's bar, and in its lines."""

import re

import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch.utils._python_dispatch import TorchDispatchMode

from lt_lightning.callbacks import EpochLines, RunProgressBar, progress_shown


def test_the_end_of_a_folders_name_is_no_number(tmp_path, capsys, trainer, digits, stage1_module):
    bar = RunProgressBar()
    run = trainer(callbacks=[bar], logger=CSVLogger(tmp_path, name="", version="version_1"), enable_progress_bar=True)
    run.fit(stage1_module(data := digits()), datamodule=data)
    assert RichProgressBar.get_metrics(bar, run, run.lightning_module)["v_num"] == "on_1"
    assert "v_num" not in bar.get_metrics(run, run.lightning_module)
    assert "v_num" not in capsys.readouterr().out


class Reads(TorchDispatchMode, Callback):
    """How many numbers of tensors the host has read when each batch begins."""

    def __init__(self):
        super().__init__()
        self.count, self.at = 0, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))

    def on_train_batch_start(self, *_):
        self.at.append(self.count)


def test_the_loss_is_read_once_each_time_that_it_is_logged(capsys, trainer, digits, stage1_module):
    bar, reads = RunProgressBar(), Reads()
    run = trainer(callbacks=[bar, reads], enable_progress_bar=True, log_every_n_steps=2, limit_val_batches=0)
    data = digits()
    with reads:
        run.fit(stage1_module(data), datamodule=data)
    assert [after - before for before, after in zip(reads.at, reads.at[1:], strict=False)] == [0, 1, 0, 1]
    assert bar.get_metrics(run, run.lightning_module)["train/loss"] == float(run.callback_metrics["train/loss"])
    assert "train/loss" in capsys.readouterr().out


def test_a_file_gets_a_line_an_epoch(capsys, trainer, digits, stage1_module):
    options = {"enable_progress_bar": True, "max_epochs": 3, "check_val_every_n_epoch": 2, "log_every_n_steps": 5}
    run = trainer(callbacks=[EpochLines(seconds=0)], **options)
    run.fit(stage1_module(data := digits()), datamodule=data)
    first, second, third = capsys.readouterr().out.splitlines()
    figure = r"train/loss [\d.]+"
    assert re.fullmatch(rf"epoch 1 of 3: {figure}, about [\d.]+ \w+ left", first)
    assert re.fullmatch(rf"epoch 2 of 3: {figure}, val/all [\d.]+ %, about [\d.]+ \w+ left", second)
    assert re.fullmatch(rf"epoch 3 of 3: {figure}", third)  # figures of an epoch before would be taken for its own


def test_a_loss_of_an_earlier_epoch_is_none_of_this_ones(capsys, trainer, digits, stage1_module):
    run = trainer(callbacks=[EpochLines(seconds=0)], enable_progress_bar=True, max_epochs=3, log_every_n_steps=10)
    run.fit(stage1_module(data := digits()), datamodule=data)
    assert ["train/loss" in line for line in capsys.readouterr().out.splitlines()] == [False, True, False]


def test_short_epochs_have_few_lines(capsys, trainer, digits, stage1_module):
    run = trainer(callbacks=[EpochLines(seconds=3600)], enable_progress_bar=True, max_epochs=3)
    run.fit(stage1_module(data := digits()), datamodule=data)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("epoch 3 of 3")


def test_a_bar_is_for_who_looks_on(monkeypatch):
    assert type(progress_shown()) is EpochLines
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes any output for a terminal
    assert type(progress_shown()) is RunProgressBar

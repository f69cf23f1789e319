"""When ``last.ckpt`` is written: after each epoch, and a large one from time to time and after the last."""

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

from lt_lightning.callbacks.last_checkpoint import LastCheckpoint

SLOW = {"large": 1, "seconds": 1e6}
"""Any file is large, and waits for ever."""


class Written(Callback):
    """Notes which epochs are in the file as each ends; Lightning has those that write come last."""

    def __init__(self, saver: LastCheckpoint) -> None:
        self.saver = saver
        self.epochs: list[int] = []

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch:
            self.epochs.append(saved_epoch(self.saver))


class StopAfter(Callback):
    """Stops training in an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = trainer.current_epoch == self.epoch


def saved_epoch(saver):
    return torch.load(saver.best_model_path, weights_only=False)["epoch"]


@pytest.fixture
def fit(trainer, digits, stage1_module, tmp_path):
    """Trains with a saver; returns which epoch the file held after each, the last included."""

    def run(saver, epochs=4, callbacks=(), ckpt_path=None, **options):
        data = digits()
        written = Written(saver)
        made = trainer(epochs, callbacks=[*callbacks, written, saver], enable_checkpointing=True, **options)
        made.fit(stage1_module(data), datamodule=data, ckpt_path=ckpt_path)
        return [*written.epochs, saved_epoch(saver)]

    return run


def test_a_small_one_is_written_after_each_epoch(fit, tmp_path):
    assert fit(LastCheckpoint(tmp_path, seconds=1e6)) == [0, 1, 2, 3]
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_large_one_waits_and_is_written_at_the_end(fit, tmp_path):
    assert fit(LastCheckpoint(tmp_path, **SLOW)) == [0, 0, 0, 3]
    assert fit(LastCheckpoint(tmp_path / "due", large=1, seconds=0.0)) == [0, 1, 2, 3]


@pytest.mark.filterwarnings("ignore:`model.lr_scheduler` CosineLR is 9 epochs long:UserWarning")
@pytest.mark.parametrize("end", [{"max_steps": 13}, {"callbacks": [StopAfter(2)]}])
def test_however_training_ends(fit, tmp_path, end):
    assert fit(LastCheckpoint(tmp_path, **SLOW), epochs=9, **end) == [0, 0, 2]


def test_a_stop_that_has_to_wait_is_no_end(fit, tmp_path):
    stopped = fit(LastCheckpoint(tmp_path, **SLOW), epochs=9, callbacks=[StopAfter(1)], min_epochs=4)
    assert stopped[:2] == [0, 0]
    assert stopped[-1] == len(stopped) - 1


def test_a_resumed_run_writes_its_first_epoch(fit, tmp_path):
    first = LastCheckpoint(tmp_path, **SLOW)
    assert fit(first, epochs=2) == [0, 1]
    again = LastCheckpoint(tmp_path / "again", **SLOW)
    assert fit(again, epochs=5, ckpt_path=tmp_path / "last.ckpt") == [1, 2, 2, 4]


def test_one_of_the_users_may_stand_beside(tmp_path):
    assert LastCheckpoint(tmp_path).state_key != ModelCheckpoint(tmp_path).state_key

"""Whether validation images have chosen the weights."""

import pytest
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from lt_lightning.callbacks.selecting import LAST_EPOCH, selection_of

KEPT = "runs/version_0/checkpoints/epoch=3.ckpt"


def state_of(callback, **state):
    """As a checkpoint holds it."""
    return {callback.state_key: state}


def test_without_a_monitor_nothing_is_chosen():
    assert selection_of({}) == LAST_EPOCH
    assert selection_of(state_of(ModelCheckpoint(), best_model_path=KEPT), KEPT) == LAST_EPOCH


def test_a_file_that_a_monitor_kept_is_chosen_and_no_other():
    states = state_of(ModelCheckpoint(monitor="val/all", mode="max"), best_model_path=KEPT)
    assert selection_of(states, f"elsewhere/{KEPT}") == "val: the epoch that ModelCheckpoint kept by val/all"
    assert selection_of(states, "runs/version_0/checkpoints/last.ckpt") == LAST_EPOCH
    assert selection_of(states) == LAST_EPOCH  # what training has left is its last epoch


@pytest.mark.parametrize(("stopped", "by"), [(7, "val: the epoch that EarlyStopping ended at by val/few"), (0, None)])
def test_training_that_was_ended_early_is_chosen(stopped, by):
    states = state_of(EarlyStopping("val/few"), stopped_epoch=stopped)
    assert selection_of(states) == (by or LAST_EPOCH)


def test_training_figures_choose_nothing_on_validation_images():
    assert selection_of(state_of(EarlyStopping("train/loss"), stopped_epoch=7)) == LAST_EPOCH

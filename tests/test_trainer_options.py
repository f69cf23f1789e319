"""What a Trainer's options leave to us."""

import pytest
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import DummyLogger

from lt_lightning.metrics_file import MetricsFile
from lt_lightning.trainer_options import TrainerOptions


@pytest.mark.parametrize(
    ("given", "ends"),
    [
        ({}, False),
        ({"max_steps": -1, "max_time": None}, False),
        ({"max_epochs": 3}, True),
        ({"max_steps": 5}, True),
        ({"max_time": "00:01:00:00"}, True),
        ({"fast_dev_run": 2}, True),
    ],
)
def test_whether_training_ends(given, ends):
    assert TrainerOptions(given).has_end == ends


@pytest.mark.parametrize(
    ("given", "progress", "checkpoints"),
    [
        ({}, True, True),
        ({"enable_progress_bar": False, "enable_checkpointing": False}, False, False),
        ({"barebones": True}, False, False),
        ({"fast_dev_run": True}, True, False),
        ({"callbacks": [TQDMProgressBar()]}, False, True),
        ({"callbacks": TQDMProgressBar()}, False, True),
    ],
)
def test_what_is_shown_and_written(given, progress, checkpoints):
    options = TrainerOptions(given)
    assert (options.wants_progress, options.wants_checkpoints) == (progress, checkpoints)


def test_a_logger_of_ours_goes_before_those_without_a_folder(tmp_path):
    ours = TrainerOptions({"logger": True}).loggers_in(tmp_path / "runs/version_3")
    assert [type(logger) for logger in ours] == [MetricsFile]
    assert ours[0].log_dir == str(tmp_path / "runs/version_3")
    service = DummyLogger()
    assert TrainerOptions({"logger": service}).loggers_in(tmp_path)[1:] == [service]


@pytest.mark.parametrize(
    ("given", "lacks"),
    [
        ({}, True),
        ({"logger": None}, True),
        ({"logger": DummyLogger()}, True),
        ({"logger": [DummyLogger(), CSVLogger(".")]}, True),
        ({"logger": [CSVLogger("."), DummyLogger()]}, False),
        ({"logger": False}, False),
        ({"fast_dev_run": True}, False),
        ({"barebones": True}, False),
    ],
)
def test_which_loggers_have_no_folder_for_a_run(given, lacks):
    assert TrainerOptions(given).lacks_folder == lacks

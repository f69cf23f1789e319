"""A run's metrics are in their file, whatever ends it."""

import csv

import pytest
from full_disk import files_of_at_most
from lightning.pytorch.loggers import CSVLogger

from lt_lightning.metrics_file import MetricsFile


def log(logger, step, **values):
    logger.log_metrics(values, step)
    logger.save()


def logger_in(folder, kind=MetricsFile):
    return kind(folder, name="", version="version_0")


@pytest.fixture
def begun(tmp_path):
    """A logger that has written three rows, and its file."""
    logger = logger_in(tmp_path)
    for step in range(3):
        log(logger, step, loss=0.5 - step)
    return logger, tmp_path / "version_0/metrics.csv"


def test_the_file_is_that_of_lightnings_logger(tmp_path):
    for name, kind in (("ours", MetricsFile), ("lightnings", CSVLogger)):
        logger = logger_in(tmp_path / name, kind)
        logger.save()
        log(logger, 0, loss=1.5)
        logger.log_metrics({"loss": 0.5, "rate": 0.1}, 1)
        log(logger, 1, accuracy=0.25)
        log(logger, 2, loss=1e-9)
        logger.finalize("success")
    ours, lightnings = (tmp_path / name / "version_0" for name in ("ours", "lightnings"))
    assert (ours / "metrics.csv").read_bytes() == (lightnings / "metrics.csv").read_bytes()
    assert [path.name for path in ours.iterdir()] == ["metrics.csv"]


def test_without_room_for_a_new_column_the_rows_are_there(begun):
    logger, path = begun
    before = path.read_bytes()
    with files_of_at_most(len(before)):
        for _ in range(2):  # as a Trainer that fails tries once more
            with pytest.raises(OSError, match="File too large") as refused:
                log(logger, 3, accuracy=0.5)
            assert refused.value.filename == str(path)
            assert path.read_bytes() == before
    logger.finalize("failed")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "1", "2", "3", "3"]
    assert [row["accuracy"] for row in rows] == ["", "", "", "0.5", "0.5"]


def test_without_room_for_a_row_no_part_of_it_stays(begun):
    logger, path = begun
    before = path.read_bytes()
    with files_of_at_most(len(before) + 3):
        for _ in range(2):
            with pytest.raises(OSError, match="File too large") as refused:
                log(logger, 3, loss=0.25)
            assert refused.value.filename == str(path)
            assert path.read_bytes() == before
    logger.finalize("failed")
    with path.open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["0", "1", "2", "3", "3"]


def test_who_is_stopped_within_a_new_column_has_the_rows(begun, monkeypatch):
    logger, path = begun
    before = path.read_bytes()

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(csv.DictWriter, "writerows", stopped)
    with pytest.raises(KeyboardInterrupt):
        log(logger, 3, accuracy=0.5)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_an_earlier_runs_file_stays_until_another_takes_its_place(begun, tmp_path):
    _, path = begun
    before = path.read_bytes()
    second = logger_in(tmp_path)
    assert second.experiment.metrics == []
    assert path.read_bytes() == before
    log(second, 7, loss=2.0)
    assert path.read_bytes() == b"loss,step\r\n2.0,7\r\n"


def test_a_file_that_was_removed_is_begun_anew(begun):
    logger, path = begun
    path.unlink()
    log(logger, 3, accuracy=0.5)
    assert path.read_bytes() == b"accuracy,loss,step\r\n0.5,,3\r\n"

"""Records as runs leave them, made up."""

import json
from pathlib import Path

import pytest

from lt_lightning import report

COMMON = {
    "class_counts": [300, 50, 4],
    "group_thresholds": [20, 100],
    "data": {"dataset": "made"},
    "preset": "made/lort",
    "seed": 0,
}


@pytest.fixture
def run():
    """The record of ``fit``; ``value`` is the accuracy over all classes."""

    def make(value, split="test", test_time_averaging="none", **more):
        accuracy = {"all": value, "many": 0.9, "medium": 0.5, "few": None, "micro": 0.8}
        evaluation = {"accuracy": accuracy, "calibration": {"ece": {"all": 0.1}}}
        return {
            **COMMON,
            "head": "LinearHead",
            "loss": "LORTLoss",
            "bn_mode": "eval",
            "selection": "none: the weights of the last epoch",
            "evaluation": {split: evaluation | {"test_time_averaging": test_time_averaging}},
            **more,
        }

    return make


@pytest.fixture
def pipeline():
    """The record of ``pipeline`` with these stages."""

    def make(stages):
        return {**COMMON, "selection": "none: every stage's last epoch", "stages": stages}

    return make


@pytest.fixture
def compared():
    """The record of ``compare`` with these rows."""
    protocol = {"views": 1, "bn_mode": "eval", "test_time_averaging": "none", "aggregation": "mean", "selection": "val"}

    def make(rows, path="model.pth", sha256=64 * "0", backbone="ResNet32"):
        return {
            **COMMON,
            "checkpoint": {"path": path, "sha256": sha256},
            "backbone": backbone,
            "protocol": protocol,
            "rows": rows,
        }

    return make


@pytest.fixture
def write(here):
    """Leaves a record in a folder, and a configuration beside it."""

    def write(place, record, config=None):
        folder = here / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(record if isinstance(record, str) else json.dumps(record))
        if config is not None:
            (folder / "config.yaml").write_text(config)

    return write


@pytest.fixture
def rows_of():
    """Rows and notes of what has been written."""

    def rows_of(*folders, **options):
        runs, notes = report.collect([Path(folder) for folder in folders], **options)
        return report.group(runs), notes

    return rows_of

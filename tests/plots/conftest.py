"""Rows that no run has made."""

from dataclasses import replace

import pytest

from lt_lightning.report import Detail, Names, Protocol, Row, Run

COUNTS = [300, 5, 50]
PROTOCOL = Protocol("val", "1", "eval", "none", "mean")


@pytest.fixture
def made_run(tmp_path):
    def make(seed=0, figures=None, method="lort", data="made", preset="compare", settings="hash", **detail):
        known = {"per_class": {"accuracy": [0.9, 0.1, 0.5]}, "bins": {}}
        return Run(
            tmp_path / "results.json",
            Names(data, preset, method, settings),
            PROTOCOL,
            f"{method} {seed}",
            seed,
            {"all": 0.5, "many": 0.9, "medium": 0.5, "few": 0.1} if figures is None else figures,
            replace(Detail(COUNTS, (20, 100), **known), **detail),
        )

    return make


@pytest.fixture
def made_row(made_run):
    """A row of one run, or of the runs given."""

    def make(*runs, **options):
        members = list(runs) or [made_run(**options)]
        return Row(members[0].names, members[0].protocol, members)

    return make

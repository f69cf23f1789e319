"""A figure of one point of a grid beside another."""

import json
from dataclasses import replace

from reproducing.records import read
from reproducing.running_figures import run_figure
from reproducing.tables import Figure
from reproducing.training import Budget


def test_a_figure_is_one_comparison_over_its_grid(training, method, settings):
    figure = Figure("fig", "A figure", training, method("lort"), {"delta": (0.5, 0.9)})
    assert run_figure(figure, replace(settings, budget=Budget(0))).unfinished == ["stage 1, seed 0"]
    assert run_figure(figure, settings).finished == 1
    (record,) = read(settings.results, "fig")
    assert [point["point"] for point in record["points"]] == [{"delta": 0.5}, {"delta": 0.9}]
    assert record["chosen"] in [point["point"] for point in record["points"]]
    assert 0 < record["accuracy"]["all"] < 1
    assert run_figure(figure, settings).there == 1
    assert json.loads((settings.results / "reproduce_fig.json").read_text())["table"] == "fig"

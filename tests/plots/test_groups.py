"""Bars."""

from math import nan

import pytest
from matplotlib.container import BarContainer

from lt_lightning.plots.groups import groups_figure


def test_bars_are_means_and_whiskers_deviations(made_run, made_row):
    runs = [made_run(seed, figures={"all": 0.4 + 0.2 * seed, "few": 0.1}) for seed in (0, 1)]
    figure = groups_figure("title", ["two seeds", "one"], [made_row(*runs), made_row()])
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["all", "many", "medium", "few"]
    first, second = (bars for bars in axes.containers if isinstance(bars, BarContainer))
    assert [bar.get_height() for bar in first] == pytest.approx([50, nan, nan, 10], nan_ok=True)
    assert [bar.get_height() for bar in second] == pytest.approx([50, 90, 50, 10])
    low, high = first.errorbar.lines[2][0].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((50 - 14.142, 50 + 14.142), abs=1e-3)
    assert second.errorbar is None


def test_an_accuracy_of_nothing_is_a_bar_and_a_missing_one_is_none(made_row):
    rows = [made_row(figures={"all": 0.4, "few": 0.0}), made_row(figures={"all": 0.4})]
    (axes,) = groups_figure("title", ["failed", "no such group"], rows).axes
    first, second = (bars for bars in axes.containers if isinstance(bars, BarContainer))
    assert [bar.get_height() for bar in first] == pytest.approx([40, 0])
    assert [bar.get_height() for bar in second] == pytest.approx([40, nan], nan_ok=True)


def test_without_accuracies_there_is_none(made_row):
    assert groups_figure("title", ["a"], [made_row(figures={"micro": 0.5})]) is None

"""Reliability diagrams."""

import pytest

from lt_lightning.plots.reliability import reliability_figure


def test_bins_with_images_are_points_and_the_error_is_named(made_row):
    bins = {"images": [2, 0, 6], "confidence": [0.2, None, 0.9], "accuracy": [0.5, None, 0.8]}
    figure = reliability_figure("title", ["a", "b"], [made_row(bins=bins, figures={"ece": 0.123}), made_row()])
    _, line = figure.axes[0].get_lines()
    assert line.get_xdata() == pytest.approx([20, 90])
    assert line.get_ydata() == pytest.approx([50, 80])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a, ECE 12.3"]


def test_without_bins_there_is_none(made_row):
    assert reliability_figure("title", ["a"], [made_row()]) is None

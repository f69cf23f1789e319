"""Accuracy over rank."""

import pytest

from lt_lightning.plots.tail import tail_figure


def test_classes_stand_in_order_of_frequency_with_borders_between_groups(made_row):
    figure = tail_figure("title", ["LORT"], [made_row()])
    axes, images = figure.axes
    line, *borders = axes.get_lines()
    assert line.get_xdata().tolist() == [1, 2, 3]
    assert line.get_ydata() == pytest.approx([90, 50, 10])
    assert [border.get_xdata()[0] for border in borders] == [1.5, 2.5]
    assert images.get_yscale() == "log"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["LORT"]


def test_without_figures_per_class_there_is_none(made_row):
    assert tail_figure("title", ["a"], [made_row(per_class={})]) is None

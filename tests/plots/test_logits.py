"""Diagnostics per class."""

import pytest

from lt_lightning.plots.logits import logits_figure
from lt_lightning.plots.reliability import reliability_figure
from lt_lightning.plots.tail import tail_figure


def test_each_diagnostic_that_is_there_has_a_panel(made_row):
    row = made_row(per_class={"logits_magnitude": [3.0, 1.0, 2.0], "weight_norm": [4.0, 1.0, 1.0]})
    magnitude, relative, norm = logits_figure("title", ["a"], [row]).axes
    assert magnitude.get_title() == "Logits Magnitude"
    assert magnitude.get_lines()[0].get_ydata().tolist() == [3, 2, 1]
    assert relative.get_title() == "Logits Magnitude / mean size"
    assert relative.get_lines()[0].get_ydata() == pytest.approx([1.5, 1.0, 0.5])
    assert norm.get_lines()[0].get_ydata() == pytest.approx([2.0, 0.5, 0.5])


def test_a_row_has_one_colour_in_all_panels_and_figures(made_row):
    both = {"logits_magnitude": [3.0, 1.0, 2.0], "weight_norm": [4.0, 1.0, 1.0]}
    ncm = made_row(method="ncm", per_class={"logits_magnitude": [1.0, 1.0, 1.0]})  # has no weights
    rows = [
        ncm,
        made_row(per_class=both | {"accuracy": [0.5] * 3}, bins={"images": [1], "confidence": [1], "accuracy": [1]}),
    ]
    magnitude, relative, norm = logits_figure("title", ["a", "b"], rows).axes
    assert [line.get_color() for line in magnitude.get_lines()] == ["C0", "C1"]
    assert [line.get_color() for line in relative.get_lines()] == ["C0", "C1"]
    assert [line.get_color() for line in norm.get_lines()] == ["C1"]
    assert tail_figure("title", ["a", "b"], rows).axes[0].get_lines()[0].get_color() == "C1"
    assert reliability_figure("title", ["a", "b"], rows).axes[0].get_lines()[1].get_color() == "C1"


def test_magnitudes_are_compared_by_their_1_norm(made_row):
    """LORT's Figure 3 (a): a negative magnitude counts with its size, and a class without images not at all."""
    values = [2.0, -1.0, float("nan"), 3.0]
    row = made_row(class_counts=[4, 3, 2, 1], per_class={"logits_magnitude": values})
    _, relative = logits_figure("title", ["a"], [row]).axes
    drawn = relative.get_lines()[0].get_ydata()
    assert drawn == pytest.approx([1.0, -0.5, float("nan"), 1.5], nan_ok=True)


def test_that_neighbours_are_averaged_is_said(made_row):
    rows = [made_row(class_counts=[5] * 60, per_class={"logits_magnitude": [1.0] * 60})]
    figure = logits_figure("title", ["a"], rows)
    assert figure.get_supxlabel() == "class, by number of training images (mean over 3 neighbours)"
    assert not any(axes.get_xlabel() for axes in figure.axes)  # in each panel it would run into the next


def test_without_diagnostics_there_is_none(made_row):
    assert logits_figure("title", ["a"], [made_row()]) is None

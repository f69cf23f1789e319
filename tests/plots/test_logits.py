"""Diagnostics per class."""

import pytest

from lt_lightning.plots.logits import logits_figure


def test_each_diagnostic_that_is_there_has_a_panel(made_row):
    row = made_row(per_class={"logits_magnitude": [3.0, 1.0, 2.0], "weight_norm": [4.0, 1.0, 1.0]})
    magnitude, norm = logits_figure("title", ["a"], [row]).axes
    assert magnitude.get_title() == "Logits Magnitude"
    assert magnitude.get_lines()[0].get_ydata().tolist() == [3, 2, 1]
    assert norm.get_lines()[0].get_ydata() == pytest.approx([2.0, 0.5, 0.5])


def test_without_diagnostics_there_is_none(made_row):
    assert logits_figure("title", ["a"], [made_row()]) is None

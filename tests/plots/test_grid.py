"""What a comparison has tried."""

import numpy as np
import pytest

from lt_lightning.plots.grid import grid_figure, varied


def tried(points, figures):
    return [{"point": point, "mean": figure} for point, figure in zip(points, figures, strict=True)]


def test_one_setting_is_a_line_in_order_and_on_a_log_scale_where_it_spans_much(made_row):
    points = tried([{"lr": 0.1}, {"lr": 0.001}, {"lr": 1.0}, {"lr": 5.0}], [0.5, 0.4, 0.6, None])
    (axes,) = grid_figure("title", ["lort"], [made_row(tried=points)]).axes
    assert axes.get_lines()[0].get_xdata() == pytest.approx([0.001, 0.1, 1.0])  # what diverged is left out
    assert axes.get_lines()[0].get_ydata() == pytest.approx([40, 50, 60])
    assert (axes.get_xscale(), axes.get_xlabel()) == ("log", "lr")


def test_several_comparisons_are_one_mean(made_run, made_row):
    points = [{"lr": 1.0}, {"lr": 2.0}, {"lr": 3.0}]
    runs = [
        made_run(seed, tried=tried(points, figures)) for seed, figures in enumerate(([0.5, 0.2, 0.3], [0.1, 0.4, None]))
    ]
    (axes,) = grid_figure("title", ["lort"], [made_row(*runs)]).axes
    assert axes.get_lines()[0].get_xdata() == pytest.approx([1, 2])
    assert axes.get_lines()[0].get_ydata() == pytest.approx([30, 30])


def test_words_are_points_side_by_side(made_row):
    points = tried([{"metric": "cosine"}, {"metric": "euclidean"}], [0.5, 0.4])
    (axes,) = grid_figure("title", ["ncm"], [made_row(tried=points)]).axes
    assert axes.get_lines()[0].get_linestyle() == "None"


def test_two_settings_are_a_map(made_row):
    points = [{"lr": lr, "weight_decay": decay} for lr in (0.1, 0.01) for decay in (0, 5e-4)]
    (axes,) = grid_figure("title", ["lort"], [made_row(tried=tried(points, [0.1, 0.2, 0.3, 0.4]))]).axes
    (image,) = axes.get_images()
    assert np.asarray(image.get_array()) == pytest.approx(np.array([[30, 10], [40, 20]]))
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.01", "0.1"]
    assert sorted(text.get_text() for text in axes.texts) == ["10.0", "20.0", "30.0", "40.0"]


def test_rows_with_one_point_or_three_settings_are_left_out(made_row):
    three = [{"a": one, "b": one, "c": one} for one in (1, 2)]
    assert varied(tried(three, [0.1, 0.2])) == ["a", "b", "c"]
    rows = [made_row(tried=tried([{"lr": 1}], [0.5])), made_row(tried=tried(three, [0.1, 0.2])), made_row()]
    assert grid_figure("title", ["one", "three", "none"], rows) is None


def test_panels_without_a_row_are_not_shown(made_row):
    row = made_row(tried=tried([{"tau": 1}, {"tau": 2}], [0.5, 0.4]))
    figure = grid_figure("title", list("abcde"), [row] * 5)
    assert [axes.get_visible() for axes in figure.axes] == [True] * 5 + [False] * 3

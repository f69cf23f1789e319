"""Numbers are those of the runs, put in order and pooled."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lt_lightning.plots.series import class_order, marker_of, per_class, pooled_bins, smoothed, tried, window_of


def test_the_most_frequent_class_comes_first_and_of_equals_the_first():
    assert class_order([5, 300, 50, 300]).tolist() == [1, 3, 2, 0]


def test_a_row_is_the_mean_of_its_runs_where_all_have_the_figure(made_run, made_row):
    runs = [made_run(seed, per_class={"accuracy": [0.2 * seed, None, 1.0]}) for seed in (1, 2)]
    assert per_class(made_row(*runs), "accuracy") == pytest.approx([0.3, 1.0, np.nan], nan_ok=True)
    assert per_class(made_row(*runs, made_run(3, per_class={})), "accuracy") is None


def test_each_checkpoint_counts_once_as_in_a_table(made_run, made_row):
    shares = {"one": [0.1, 0.3], "other": [0.6]}
    runs = [
        replace(made_run(seed, per_class={"accuracy": [share, 0.0, 1.0]}), checkpoint=name)
        for name, found in shares.items()
        for seed, share in enumerate(found)
    ]
    assert per_class(made_row(*runs), "accuracy") == pytest.approx([0.4, 1.0, 0.0])
    runs = [
        replace(made_run(seed, tried=[{"point": {"lr": 0.1}, "mean": share}]), checkpoint=name)
        for name, found in shares.items()
        for seed, share in enumerate(found)
    ]
    assert tried(made_row(*runs)) == [{"point": {"lr": 0.1}, "mean": pytest.approx(0.4)}]


def test_runs_that_number_their_classes_differently_agree_by_frequency(made_run, made_row):
    runs = [
        made_run(0, class_counts=[300, 5, 50], per_class={"accuracy": [0.9, 0.1, 0.5]}),
        made_run(1, class_counts=[5, 50, 300], per_class={"accuracy": [0.2, 0.6, 0.8]}),
    ]
    assert per_class(made_row(*runs), "accuracy") == pytest.approx([0.85, 0.55, 0.15])


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40), st.integers(1, 9))
def test_smoothing_keeps_length_and_range(values, width):
    found = smoothed(np.array(values), width)
    assert found.shape == (len(values),)
    assert min(values) - 1e-9 <= found.min() <= found.max() <= max(values) + 1e-9


def test_smoothing_is_the_mean_of_known_neighbours():
    found = smoothed(np.array([1.0, 2.0, np.nan, 4.0, 9.0]), 3)
    assert found == pytest.approx([1.5, 1.5, np.nan, 6.5, 6.5], nan_ok=True)


def test_lines_of_a_few_classes_are_not_smoothed():
    assert [window_of(number) for number in (2, 20, 21, 100, 365, 8142)] == [1, 1, 1, 5, 19, 407]
    assert [marker_of(number) for number in (20, 21)] == [".", ""]


def test_bins_are_weighed_by_their_images(made_run, made_row):
    one = {"images": [1, 0], "confidence": [0.2, None], "accuracy": [1.0, None]}
    other = {"images": [3, 0], "confidence": [0.4, None], "accuracy": [0.0, None]}
    images, confidence, accuracy = pooled_bins(made_row(made_run(0, bins=one), made_run(1, bins=other)))
    assert images.tolist() == [4, 0]
    assert confidence == pytest.approx([0.35, np.nan], nan_ok=True)
    assert accuracy == pytest.approx([0.25, np.nan], nan_ok=True)
    assert pooled_bins(made_row()) is None

"""What is kept of a comparison."""

import math

import pytest
import torch

from lt_lightning.comparing import Options, TriedPoint
from lt_lightning.comparing.evaluation import Predictions
from lt_lightning.comparing.grid import Point
from lt_lightning.comparing.leaderboard import leaderboard
from lt_lightning.comparing.outcome import Row, Run
from lt_lightning.errors import UsageError

pytestmark = pytest.mark.filterwarnings(
    "ignore:Stage 1 is no worse:UserWarning", "ignore:No method is better:UserWarning"
)


def test_a_point_with_one_diverged_seed_has_no_mean():
    assert TriedPoint({}, [0.25, 0.5]).mean == 0.375
    assert math.isnan(TriedPoint({}, [0.25, math.nan]).mean)


@pytest.mark.filterwarnings("ignore:Training of linear diverged:UserWarning", "ignore:Nothing is selected:UserWarning")
def test_methods_and_why_none_of_them_is_the_winner(run, make_data):
    """Neither stage 1 nor the oracle is one, nor what has diverged."""
    found = run("ncm,tau_norm", oracle=True)
    assert [row.name for row in found.rows] == ["stage 1", "ncm", "tau_norm", "oracle"]
    assert [row.name for row in found.methods] == ["ncm", "tau_norm"]
    assert found.winner is not None
    assert found.why_no_winner is None
    assert run("ncm", data=make_data(val_from="none")).why_no_winner == "no winner could be selected"
    found = run("linear", {"lr": [1e39]})
    assert found.methods == []
    assert found.why_no_winner == "every method diverged"
    assert f"\nNo winner: {found.why_no_winner}" in leaderboard(found).caption


def test_linear_layers_predict_as_heads_do(run):
    found = run("tau_norm,cosine", {"lr": [0.01]})
    features = found.features["test"].values[0]
    head = found.row("tau_norm").heads[0].head
    torch.testing.assert_close(found.row("tau_norm").linear()(features), head.predict(features))
    assert found.row("cosine").linear() is None


@pytest.mark.parametrize("seeds", [(), (-1,), (1, 1)])
def test_seeds_are_checked(seeds):
    with pytest.raises(UsageError, match="`seeds` must be different numbers of at least 0"):
        Options(seeds=seeds)


@pytest.mark.parametrize("views", [0, "evry"])
def test_views_are_checked(views):
    with pytest.raises(UsageError, match=f'`views` must be .*, "all" or "published", but got {views!r}'):
        Options(views=views)


@pytest.mark.parametrize(
    ("values", "chosen", "expected"),
    [
        ([0.1, 0.01, 1.0], 1.0, "largest"),
        ([0.1, 0.01, 1.0], 0.01, "smallest"),
        ([0.1, 0.01, 1.0], 0.1, None),
        ([0.1, 0.0, 1.0], 0.0, None),
        ([0.1, 1.0], 1.0, None),
        ([False, True, False], True, None),
        (["cosine", "euclidean", "other"], "other", None),
        ([None, 0.1, 0.5], 0.5, None),
        ([[1, 2], [2, 3], [3, 4]], [3, 4], None),
    ],
)
def test_a_choice_at_the_end_of_its_grid_is_known(values, chosen, expected):
    tried = [TriedPoint({"lr": value, "fixed": 3.0}, [0.5]) for value in values]
    row = Row("method", "val", Point(None, {"lr": chosen, "fixed": 3.0}), tried, [])
    assert row.at_edge == ({} if expected is None else {"lr": expected})


def test_no_layer_stands_for_a_head_whose_statistics_are_gone(run):
    row = run("tau_norm").row("tau_norm")
    row.runs = [Run(0, 1, [0.5], 1.0)]
    assert row.linear() is None


def test_a_test_image_is_known_to_a_share_of_the_seeds():
    said = [torch.tensor(classes) for classes in ([0, 1, 2], [0, 2, 1])]
    row = Row("method", "val", None, [], [], [Predictions(classes, torch.ones(3), {}) for classes in said])
    assert row.correct(torch.tensor([0, 1, 0])).tolist() == [1.0, 0.5, 0.0]

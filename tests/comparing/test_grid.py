"""Grids: keys, values, defaults, products."""

import pytest

from lt_lightning.comparing.grid import LR_FACTORS, default_grid, points, read_grid
from lt_lightning.comparing.methods import built_in_methods, find_methods
from lt_lightning.comparing.record import record
from lt_lightning.comparing.settings import Settings, SettingsParser
from lt_lightning.errors import UsageError

PARSER = SettingsParser()
COUNTS = [30, 12, 5]


def made(methods, grid, default=True):
    found = points(find_methods(methods, COUNTS, PARSER), read_grid(grid), PARSER, default)
    return {name: [point.values for point in tried] for name, tried in found.items()}


def test_values():
    grid = read_grid({"lr": "1e-4,1", "loss": {"kind": "softmax,focal"}, "centre": "true", "delta": [0.9, "0.98"]})
    assert grid == {"lr": [1e-4, 1], "loss.kind": ["softmax", "focal"], "centre": [True], "delta": [0.9, 0.98]}


@pytest.mark.parametrize("grid", [{"lr": ""}, {"lr": []}])
def test_no_value(grid):
    with pytest.raises(UsageError, match=r"`grid.lr` has no value"):
        read_grid(grid)


def test_twice_the_same_value():
    with pytest.raises(UsageError, match=r"`grid.lr` has a value twice: 0.1, 0.1"):
        read_grid({"lr": "0.1,1e-1"})


def test_every_method_has_as_many_points_by_default():
    found = made("all", {})
    assert set(found) == set(built_in_methods())
    assert found.pop("ncm")[0] == {"metric": "cosine", "centre": False}  # it has no number, and four settings in all
    assert {len(tried) for tried in found.values()} == {len(LR_FACTORS)}
    assert found["lort"][:3] == [{"lr": 5e-4}, {"lr": 1.5e-6}, {"lr": 5e-6}]
    assert sorted(point["tau"] for point in found["tau_norm"]) == [0.25 * step for step in range(1, 9)]


def test_a_configuration_without_an_optimizer_varies_that_of_fit(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("model: {class_path: RetrainModule, init_args: {loss: FocalLoss}}")
    assert made(str(path), {})["mine"][:2] == [{"lr": 5e-4}, {"lr": 1.5e-6}]
    assert made(str(path), {"lr": "0.1"})["mine"] == [{"lr": 0.1}]
    (method,) = find_methods(str(path), COUNTS, PARSER)
    settings = PARSER.make(method.plain, "mine")
    (ours, _), (theirs, _) = (each.training(*each.parts(4, COUNTS)) for each in (settings, Settings()))
    assert ours.defaults == theirs.defaults


def test_products_of_the_keys_that_a_method_has():
    found = made("lort,linear,tau_norm", {"lr": "1e-4,1e-3", "delta": "0.9,0.98"})
    assert found["lort"][1] == {"lr": 1e-4, "delta": 0.98}
    assert [len(tried) for tried in found.values()] == [4, 2, 1]
    (point,) = points(find_methods("lort", COUNTS, PARSER), {"delta": [0.5]}, PARSER, True)["lort"]
    assert point.method.plain["loss"]["init_args"] == {"delta": 0.5}
    assert point.method.plain["optimizer"]["init_args"]["lr"] == 5e-4


def test_own_settings_are_one_point():
    assert made("lort,ncm", {}, default=False) == {"lort": [{}], "ncm": [{}]}


def test_a_key_of_loss_and_head_needs_the_part():
    with pytest.raises(UsageError, match=r"`grid.scale` may be the loss's or the head's; say `grid.loss.scale`"):
        made("ldam_cosine", {"scale": "10"})
    assert made("ldam_cosine", {"loss.scale": "10,20"}) == {"ldam_cosine": [{"loss.scale": 10}, {"loss.scale": 20}]}


def test_a_key_that_no_method_has():
    with pytest.raises(UsageError, match=r"`grid.learning_rate` is an argument of none of lort, ncm"):
        made("lort,ncm", {"learning_rate": "1"})
    with pytest.raises(UsageError, match=r"`grid.delta` is an argument of none of linear"):
        made("linear", {"delta": "0.9"})


@pytest.mark.filterwarnings(
    "ignore:Stage 1 is no worse:UserWarning",
    "ignore:No method is better:UserWarning",
    "ignore:Nothing is selected:UserWarning",
    "ignore:.* classes with validation images have fewer:UserWarning",
)
def test_a_record_says_what_was_tried_by_default(run, make_data):
    found = record(run("ncm"))
    assert found["grid"] == default_grid()
    assert found["grid"]["default"]["lr"] == list(LR_FACTORS)
    assert set(found["grid"]["default"]) == {"lr", "tau", "metric", "centre"}
    assert [one["point"] for one in found["rows"]["ncm"]["validation"]] == [
        {"metric": metric, "centre": centre}
        for metric in found["grid"]["default"]["metric"]
        for centre in found["grid"]["default"]["centre"]
    ]
    assert record(run("ncm", data=make_data(val_from="none")))["grid"] == "own settings"
    assert record(run("ncm", {"metric": ["cosine"]}))["grid"] == {"metric": ["cosine"]}

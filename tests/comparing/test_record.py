"""What results.json says of a comparison."""

import json
from types import SimpleNamespace

import pytest
import torch

from lt_lightning.comparing.evaluation import Predictions
from lt_lightning.comparing.outcome import Row
from lt_lightning.comparing.record import group_sizes, record, under_priors
from lt_lightning.results import sha256_of, write_json

pytestmark = pytest.mark.filterwarnings(
    "ignore:Stage 1 is no worse:UserWarning",
    "ignore:No method is better:UserWarning",
    "ignore:Training of linear diverged:UserWarning",
)


def test_diverged_rows_are_written_too(run, tmp_path):
    found = run("linear,tau_norm", {"lr": [1e39]})
    write_json(tmp_path / "results.json", record(found))
    row = json.loads((tmp_path / "results.json").read_text())["rows"]["linear"]
    assert row["diverged"]
    assert row["validation"] == [{"point": {"lr": 1e39}, "seeds": [None], "mean": None, "diverged": True}]
    assert row["seeds"] == []


def test_stage1_and_protocol(run):
    found = record(run("ncm"))
    assert found["rows"]["stage 1"]["settings"] is None
    assert found["rows"]["stage 1"]["to_stage1"] is None
    assert found["group_sizes"] == {"many": 2, "medium": 5, "few": 3}
    assert found["protocol"]["test_time_averaging"] == "none"
    assert found["winner"] == "ncm"
    assert found["features"]["val"]["views"] == 1


def test_groups_are_as_large_as_their_classes_with_test_images():
    data = SimpleNamespace(class_counts=[50, 9, 2, 8], group_thresholds=(5, 20))
    found = SimpleNamespace(trained_on=data, test_targets=torch.tensor([0, 1, 0]))
    assert group_sizes(found) == {"many": 1, "medium": 1, "few": 0}


def test_how_sure_the_choice_is_on_validation_images(run):
    found = run("ncm,tau_norm")
    written = record(found)
    assert "of validation images for val_to_winner" in written["bootstrap"]["resampled"]
    rows = written["rows"]
    assert rows[found.winner.name]["val_to_winner"] is None
    assert set(rows["stage 1"]["val_to_winner"]) == {"mean", "low", "high", "p_value"}
    assert rows["stage 1"]["val_to_winner"]["mean"] < 0


def test_a_group_without_classes_has_no_spread_over_seeds(run, make_data, tmp_path):
    found = run("linear", data=make_data(group_thresholds=(3, 100)), seeds=(0, 1))
    write_json(tmp_path / "results.json", record(found))
    row = json.loads((tmp_path / "results.json").read_text())["rows"]["linear"]
    assert (row["mean"]["many"], row["standard_deviation"]["many"]) == (None, None)
    assert row["standard_deviation"]["all"] >= 0


def test_under_other_priors_figures_are_means_over_seeds():
    tests = [
        Predictions(torch.empty(0), torch.empty(0), {"per_class": {"accuracy": x}}) for x in ([1.0, 0.0], [0.5, 1.0])
    ]
    row = Row("lort", "val", None, [], [], tests)
    found = under_priors(SimpleNamespace(trained_on=SimpleNamespace(class_counts=[9, 1]), rows=[row]))["lort"]
    assert found["uniform"] == pytest.approx((0.5 + 0.75) / 2)
    assert found["forward-50"] == pytest.approx((50 / 51 + 26 / 51) / 2)
    assert found["backward-50"] == pytest.approx((1 / 51 + 50.5 / 51) / 2)


def test_the_checkpoint_is_known_by_its_content(run, foreign):
    found = record(run("tau_norm"))["checkpoint"]
    assert (found["path"], found["sha256"]) == (str(foreign), sha256_of(foreign))


def test_how_images_are_prepared_is_recorded_for_training_and_for_tests(run):
    plain, views = (record(run("tau_norm", views=number))["transform"] for number in (1, 2))
    assert plain["shown"] == plain["test"] == views["test"]
    assert set(views["shown"]) - set(views["test"]) == {"crop_padding", "flip", "augmentation"}

"""The winner comes back in the checkpoint's own format, and every run can be tested."""

import re
from dataclasses import replace

import pytest
import torch

from lt_lightning.backbones import SmallCNN
from lt_lightning.checkpoints import read
from lt_lightning.comparing import Options, TriedPoint, compare
from lt_lightning.comparing.grid import Point
from lt_lightning.comparing.saving import keep_runs, keep_winner
from lt_lightning.features import ExtractionOptions
from lt_lightning.modules import RetrainModule

pytestmark = pytest.mark.filterwarnings(
    "ignore:Stage 1 is no worse:UserWarning", "ignore:No method is better:UserWarning"
)
BACKBONE = {"class_path": "SmallCNN", "init_args": {"num_features": 8, "in_channels": 3}}


def test_a_linear_winner_goes_into_the_users_file(run, foreign, tmp_path):
    found = run("linear", {"lr": [0.001, 0.1, 1.0]})
    layer, whole = keep_winner(found, tmp_path, BACKBONE)
    assert layer.endswith("better_model.pth: model.pth with a new classifier 'fc', that of linear")
    assert whole.endswith(
        "better.ckpt: linear as a Lightning checkpoint for `lt-lightning test`, `predict` and `export`"
    )
    before, after = (
        torch.load(path, weights_only=True)["state_dict"] for path in (foreign, tmp_path / "better_model.pth")
    )
    assert list(before) == list(after)
    assert torch.equal(after["fc.weight"], found.winner.heads[0].head.weight)
    assert torch.equal(after["backbone.layers.0.weight"], before["backbone.layers.0.weight"])


def test_a_file_of_which_a_part_is_enough_comes_back_whole(run, foreign, tmp_path):
    contents = torch.load(foreign, weights_only=True)
    contents["state_dict"]["neck.weight"] = torch.eye(8)
    torch.save(contents, tmp_path / "model.pth")
    found = run("linear", {"lr": [0.001, 0.1, 1.0]}, checkpoint=tmp_path / "model.pth", allow_partial=True)
    list(keep_winner(found, tmp_path, BACKBONE))
    after = torch.load(tmp_path / "better_model.pth", weights_only=True)["state_dict"]
    assert torch.equal(after["neck.weight"], torch.eye(8))
    assert torch.equal(after["fc.weight"], found.winner.heads[0].head.weight)


def test_where_the_winner_does_not_fit_the_best_that_does_is_named(run, tmp_path):
    found = run("cosine,lort,linear", {"lr": [0.1]})
    stage1, cosine, lort, linear = (found.row(name) for name in ("stage 1", "cosine", "lort", "linear"))
    found.winner = cosine
    for row, score in ((stage1, 0.5), (cosine, 0.9), (lort, 0.6), (linear, 0.7)):
        row.tried = [TriedPoint({}, [score])]
    (said,) = keep_winner(found, tmp_path / "gain", BACKBONE)
    best = "linear is best on the validation images: `--methods linear` hands that back"
    assert said.endswith(f"divides each feature vector by its norm; of those that it can take {best}")
    linear.heads[0].point = Point(replace(linear.heads[0].point.method, given="my_module.linear"), {})
    (said,) = keep_winner(found, tmp_path / "own", BACKBONE)
    assert said.endswith("linear is best on the validation images: `--methods my_module.linear` hands that back")
    for row in (lort, linear):
        row.tried = [TriedPoint({}, [0.5])]
    (said,) = keep_winner(found, tmp_path / "none", BACKBONE)
    assert said.endswith("divides each feature vector by its norm")


def test_others_become_checkpoints_of_ours(run, tmp_path):
    found = run("cosine", {"lr": [0.1]}, seeds=(0, 2))
    (said,) = keep_winner(found, tmp_path, BACKBONE)
    assert re.search(
        r"better\.ckpt: cosine and seed 0 as a Lightning .*`export`; model\.pth cannot take it: `CosineHead` equals no "
        r"plain linear layer: it divides each feature vector by its norm$",
        said,
    )
    keep_runs(found, tmp_path, BACKBONE)
    assert (
        torch.load(tmp_path / "better.ckpt", weights_only=True)["lt_lightning"]["selection"] == "val: cosine of compare"
    )
    assert sorted(path.name for path in (tmp_path / "runs").rglob("*.ckpt")) == ["seed_0.ckpt", "seed_2.ckpt"]
    for path, trained in zip(
        (tmp_path / "better.ckpt", tmp_path / "runs/cosine/seed_2.ckpt"), found.winner.heads, strict=True
    ):
        module = RetrainModule.load_from_checkpoint(path, weights_only=True)
        module.eval()
        images = found.data.to_input(found.data.split("test").__getitems__([0, 5, 9])[0], False, None)
        features = found.features["test"].values[0, [0, 5, 9]]
        with torch.no_grad():
            torch.testing.assert_close(module(images), trained.head.predict(features), rtol=1e-4, atol=1e-4)


def test_parts_that_both_balance_are_kept_with_the_leave_to_do_so(run, tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("head: TauNormHead\nloss: BalancedSoftmaxLoss\nallow_double_balancing: true\n")
    keep_runs(run(str(path), {"tau": [1.0]}), tmp_path, BACKBONE)
    RetrainModule.load_from_checkpoint(tmp_path / "runs/twice/seed_0.ckpt", weights_only=True)


def test_the_oracle_is_not_kept_for_it_has_seen_the_validation_images(run, tmp_path):
    keep_runs(run("tau_norm", oracle=True), tmp_path, BACKBONE)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["tau_norm"]


def test_a_winner_trained_once_more_records_what_it_was_trained_on(run, make_data, tmp_path):
    found = run("cosine", {"lr": [0.1]}, data=make_data(val_from="train"), unseen=True)
    found.winner = found.row("cosine")  # whether it is a gain is of no matter here
    list(keep_winner(found, tmp_path, BACKBONE))
    record = torch.load(tmp_path / "better.ckpt", weights_only=True)["lt_lightning"]
    whole = make_data(val_from="none")
    assert record["class_counts"] == whole.class_counts
    assert record["split"]["val_from"] == "none"
    whole.split("train")
    assert record["split"]["hashes"]["train"] == whole.describe_split()["hashes"]["train"]
    assert record["epochs"] == found.winner.heads[0].epochs == 20


def test_a_layer_handed_back_records_what_it_was_trained_once_more_on(stage1, digits, tmp_path):
    """In a checkpoint of ours, so that no later comparison selects on images that the layer was trained on."""
    quiet = ExtractionOptions(progress=False, device="cpu")
    options = Options(views=1, unseen=True, oracle=False, draws=10, features=quiet)
    found = compare(str(stage1), SmallCNN(8), digits(val_from="train"), "tau_norm", {"tau": [1.0]}, options)
    found.winner = found.row("tau_norm")  # whether it is a gain is of no matter here
    list(keep_winner(found, tmp_path, "SmallCNN"))
    whole = digits(val_from="none")
    whole.split("train")
    past = [entry["train"] for entry in read(tmp_path / "better_last.ckpt").past]
    assert past == [whole.describe_split()["hashes"]["train"]]


def test_rows_of_the_users_file_stay_in_the_order_that_the_user_has_said(run, foreign, make_data, tmp_path):
    names = make_data().class_names[::-1]
    found = run("ncm", {"metric": "euclidean"}, checkpoint_class_names=names)
    list(keep_winner(found, tmp_path, BACKBONE))
    after = torch.load(tmp_path / "better_model.pth", weights_only=True)["state_dict"]
    assert torch.equal(after["fc.weight"], found.winner.linear().weight.flip(0))

"""Contracts of a comparison: what selects, what is tested, and what trains."""

import math
import warnings

import pytest
import torch
from callers_modes import MODES

from lt_lightning.backbones import SmallCNN
from lt_lightning.comparing import comparison
from lt_lightning.comparing.record import record
from lt_lightning.comparing.rows import method_rows
from lt_lightning.devices.tf32 import tf32
from lt_lightning.errors import UsageError
from lt_lightning.heads import LinearHead

pytestmark = pytest.mark.filterwarnings(
    "ignore:Stage 1 is no worse:UserWarning",  # it has been trained on nothing at all
    "ignore:No method is better:UserWarning",
)


def choices(found):
    return {row.name: (row.point and row.point.values, [tried.scores for tried in row.tried]) for row in found.rows}


def test_rows_and_winner(run):
    found = run("linear,lort,tau_norm,ncm", seeds=(0, 1))
    assert [row.name for row in found.rows] == ["stage 1", "linear", "lort", "tau_norm", "ncm"]
    assert found.selection.label == "val"
    assert [len(row.tried) for row in found.rows] == [1, 8, 8, 8, 4]
    assert [len(row.tests) for row in found.rows] == [1, 2, 2, 1, 1]
    best = max(found.rows[1:], key=lambda row: row.score)
    assert found.winner is best
    assert found.winner.to_winner is None
    assert found.row("stage 1").to_winner is not None
    assert found.row("lort").to_stage1["low"] <= found.row("lort").to_stage1["mean"]
    assert isinstance(found.row("tau_norm").linear(), torch.nn.Linear)
    assert found.row("ncm").heads[0].head.means.isfinite().all()
    with pytest.raises(UsageError, match="'lrot' is no row; there are stage 1, linear"):
        found.row("lrot")


def test_without_a_gain_on_validation_images_there_is_no_winner(run, foreign, tmp_path):
    """What is no better than stage 1 there is handed back as nothing, least of all as better."""
    ncm = run("ncm").row("ncm").linear()
    contents = torch.load(foreign, weights_only=True)
    layer = {"fc.weight": ncm.weight.detach().clone(), "fc.bias": ncm.bias.detach().clone()}
    torch.save({"state_dict": {**contents["state_dict"], **layer}}, tmp_path / "good.pth")
    with pytest.warns(UserWarning, match="No method is better than stage 1 on the validation images"):
        found = run("ncm", {"metric": "euclidean"}, checkpoint=tmp_path / "good.pth")
    assert found.row("ncm").score <= found.rows[0].score
    assert found.winner is None
    assert found.why_no_winner == "no method is better than stage 1 on the validation images"
    assert found.row("ncm").to_winner is None
    assert record(found)["winner"] is None


def test_selection_never_looks_at_test_images(run, make_data):
    before = run("linear,ncm", seeds=(0, 1))
    data = make_data()
    test = data.split("test")
    test.targets = test.targets.flip(0)
    test.images = 255 - test.images
    after = run("linear,ncm", data=data, seeds=(0, 1))
    assert choices(before) == choices(after)
    fitted = [[head.temperature for row in found.rows for head in row.heads] for found in (before, after)]
    assert fitted[0] == fitted[1]
    assert before.winner.name == after.winner.name
    assert before.winner.values("all") != after.winner.values("all")


def test_selection_looks_at_validation_images(run, make_data):
    before = run(grid={"lr": [1e-4, 1.0]})
    data = make_data()
    val = data.split("val")
    val.targets = val.targets[torch.randperm(len(val), generator=torch.Generator().manual_seed(0))]
    assert choices(before) != choices(run(data=data, grid={"lr": [1e-4, 1.0]}))


@pytest.mark.parametrize("callers", MODES)
def test_the_callers_mode_changes_nothing(run, foreign, callers):
    methods = "lort,ib,lgl_inr,tau_norm"
    backbone = SmallCNN(8, in_channels=3)
    expected = run(methods, backbone=backbone)
    with callers():
        found = run(methods, backbone=SmallCNN(8, in_channels=3).float())
        weight = found.row("lort").linear().weight
    assert weight.dtype == torch.float32
    assert choices(found) == choices(expected)
    torch.testing.assert_close(weight, expected.row("lort").linear().weight)


def test_the_callers_random_numbers_are_left_alone(run):
    torch.manual_seed(3)
    backbone = SmallCNN(8, in_channels=3)
    before = torch.get_rng_state()
    run("lort,tau_norm", backbone=backbone)
    assert torch.equal(torch.get_rng_state(), before)


def test_equals_plain_training(run, make_data):
    """A head trained among others has the weights of a loop over one."""
    found = run("linear,lort,balanced_softmax,focal", batch_size=8)
    row = found.row("lort")
    head = LinearHead(8, found.data.class_counts)
    head.init_from(found.source.classifier.weight, found.source.classifier.bias)
    plain = row.point.method.plain
    lr, delta = plain["optimizer"]["init_args"]["lr"], plain["loss"]["init_args"]["delta"]
    optimizer = torch.optim.SGD(head.parameters(), lr=lr, momentum=0.9)
    features, sampler = found.features["train"], found.data.sampler(found.features["train"].targets, 0)
    for epoch in range(20):
        optimizer.param_groups[0]["lr"] = lr * (1 + math.cos(math.pi * epoch / 20)) / 2
        for indices in sampler.indices(epoch).split(8):
            logits = head(features.values[0, indices])
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits, features.targets[indices], label_smoothing=delta).backward()
            optimizer.step()
    torch.testing.assert_close(row.heads[0].head.weight, head.weight)


@pytest.mark.filterwarnings("ignore:Please use the new API settings to control TF32")  # torch 2.9, to whoever asks
def test_heads_are_trained_without_tf32(monkeypatch, run):
    """Whatever the process had allowed before, as a ``fit`` on a GPU does; no GPU is needed to look."""
    gpu, asked = torch.device("cuda"), []

    def rows(*given):
        asked.append(torch.get_float32_matmul_precision())
        return method_rows(*given)

    monkeypatch.setattr(comparison, "method_rows", rows)
    monkeypatch.setattr(comparison, "tf32", lambda allowed, _: tf32(allowed, gpu))
    with tf32(True, gpu):
        found = run("tau_norm")
        assert torch.get_float32_matmul_precision() == "high"
    assert asked == ["highest"]
    assert record(found)["tf32"] is False


def test_without_unseen_images_nothing_is_selected(run, make_data):
    with pytest.warns(UserWarning, match="does not record its training images"):
        found = run(data=make_data(val_from="train"), grid={"lr": [1e-4, 1e-3]})
    assert found.winner is None
    assert [row.selection for row in found.rows] == ["none", "unselected", "unselected"]
    assert found.row("lort").point.values == {}
    assert found.row("lort").point.method.plain["optimizer"]["init_args"]["lr"] == 5e-4
    assert math.isnan(found.row("lort").score)
    assert found.row("lort").tests[0].figures["temperature"] is None
    assert found.row("lort").heads[0].head.class_counts == make_data(val_from="none").class_counts  # none is left out
    with pytest.warns(UserWarning, match="there are no validation images"):
        assert run("tau_norm", data=make_data(val_from="none")).winner is None


def test_that_nothing_is_selected_is_said_before_features_are_made(run, make_data, capsys):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Nothing is selected, .* The values of `grid` are left aside")
        with pytest.raises(UserWarning, match="Nothing is selected"):
            run("lort", data=make_data(val_from="none"), grid={"lr": [1e-4, 1e-3]})
    assert "features:" not in capsys.readouterr().out


def test_winner_is_refitted_with_held_out_training_images(run, make_data):
    found = run("lort,ncm", data=make_data(val_from="train"), unseen=True)
    assert found.selection.allowed
    assert sum(found.data.class_counts) < sum(found.row("ncm").heads[0].head.class_counts)
    assert found.row("ncm").heads[0].head.class_counts == make_data(val_from="none").class_counts
    assert found.row("lort").heads[0].temperature > 0


def test_diverged_points_are_never_chosen(run):
    found = run("linear", {"lr": [1e39, 1e-3]})
    row = found.row("linear")
    assert math.isnan(row.tried[0].mean)
    assert row.point.values == {"lr": 1e-3}
    with pytest.warns(UserWarning, match="Training of linear diverged with every setting"):
        found = run("linear,ncm", {"lr": [1e39]})
    assert found.winner.name == "ncm"
    assert found.row("linear").tests == found.row("linear").heads == []


def test_oracle(run):
    found = run("ncm", oracle=True, batch_size=16)
    oracle = found.row("oracle")
    assert oracle.heads[0].head.class_counts == [16] * 10
    assert oracle.tests[0].figures["temperature"] is None
    assert found.winner.name == "ncm"


def test_views_are_as_many_as_epochs(run):
    found = run("crt", views="published", grid={"lr": [0.1]})
    assert len(found.features["shown"].values) == 10
    assert len(found.features["train"].values) == 1


def test_our_own_checkpoint_allows_images_held_out_of_the_pool(run, stage1, digits):
    import lt_lightning.comparing as comparing
    from lt_lightning.features import ExtractionOptions

    options = comparing.Options(
        views=1, draws=10, oracle=False, features=ExtractionOptions(progress=False, device="cpu")
    )
    found = comparing.compare(str(stage1), SmallCNN(8), digits(), "tau_norm", None, options)
    assert "records these training images" in found.selection.reason
    other = digits(subset=3)
    with pytest.warns(UserWarning, match="records other training images than these"):
        found = comparing.compare(str(stage1), SmallCNN(8), other, "tau_norm", None, options)
    assert found.winner is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"methods": "lrot"}, "`methods` names 'lrot', .*; did you mean lort"),
        ({"grid": {"detla": "1"}}, "`grid.detla` is not a setting of any of linear, lort; did you mean delta"),
        ({"seeds": (0, 0)}, "`seeds` must be different numbers"),
        ({"views": 0}, "`views` must be 1"),
        ({"draws": 0}, "`draws` must be at least 1"),
        ({"batch_size": 0}, "`batch_size` must be at least 1, but got 0; leave it out"),
        ({"methods": "nope.yaml"}, "^`methods` 'nope.yaml' is not a file; give the path"),
        (
            {"methods": "lort", "grid": {"delta": "0.5,2", "lr": "0.1"}},
            r"^`methods` lort with `grid\.delta` 2 and `grid\.lr` 0\.1: `delta` must lie in \[0, 1\]",
        ),
        (
            {"methods": "lort", "grid": {"delta": "much"}},
            r"^`methods` lort with `grid\.delta` 'much': (?!`methods`).*delta",
        ),
    ],
)
def test_mistakes_cost_no_extraction(run, monkeypatch, arguments, message):
    from lt_lightning.comparing import extraction

    def never(*_, **__):
        raise AssertionError

    monkeypatch.setattr(extraction, "extract", never)
    with pytest.raises(UsageError, match=message):
        run(**arguments)

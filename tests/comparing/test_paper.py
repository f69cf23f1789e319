"""``compare --protocol paper``: on images, the best epoch and seed on the test images, and figures that say so."""

import json
import os
from copy import deepcopy

import numpy as np
import pytest
import torch

from lt_lightning import cli
from lt_lightning.backbones import SmallCNN
from lt_lightning.comparing import Options, paper
from lt_lightning.comparing.paper_rows import estimate
from lt_lightning.comparing.settings import Settings
from lt_lightning.comparing.setup import Setup
from lt_lightning.data import CIFAR10LT
from lt_lightning.errors import UsageError
from lt_lightning.features import ExtractionOptions
from lt_lightning.heads import LinearHead
from lt_lightning.losses import CrossEntropyLoss

SHORT = "epochs: 3\nbatch_size: 8\nloss: LORTLoss\nallow_double_balancing: true\n"


@pytest.fixture
def arguments(foreign, coloured_root, here):
    (here / "short.yaml").write_text(SHORT)
    return [
        "compare",
        "--protocol=paper",
        f"--checkpoint={foreign}",
        "--backbone=SmallCNN",
        "--backbone.num_features=8",
        "--backbone.in_channels=3",
        "--data=CIFAR10LT",
        f"--data.root={coloured_root}",
        "--data.imbalance_ratio=4",
        "--data.max_count=8",
        "--data.val_per_class=4",
        "--data.group_thresholds=[3,5]",
        "--draws=50",
        "--features.device=cpu",
        "--output=better",
    ]


def test_best_epoch_of_the_best_seed(arguments, here, capsys):
    before = os.environ.get("PL_GLOBAL_SEED")
    cli.main([*arguments, "--methods=short.yaml,tau_norm,ncm", "--seeds=0,1"])
    assert os.environ.get("PL_GLOBAL_SEED") == before
    shown = " ".join(capsys.readouterr().out.split())
    assert "best epoch and best of 2 seeds, both chosen on the test images" in shown
    assert "not comparable with figures of the default protocol" in shown
    assert "1 of 3: short" in shown
    assert "own settings; seed" in shown
    assert "★" not in shown
    assert " val " not in shown

    folder = here / "better/version_0"
    record = json.loads((folder / "results.json").read_text())
    expected = {
        "name": "paper",
        "selection": "best_on_test",
        "views": "images",
        "bn_mode": "train",
        "test_time_averaging": "flip",
        "aggregation": "best of 2 seeds",
    }
    assert {key: record["protocol"][key] for key in expected} == expected
    assert (record["winner"], record["features"]) == (None, {})
    assert list(record["rows"]) == ["stage 1", "short", "tau_norm", "ncm"]
    short, free = record["rows"]["short"], record["rows"]["tau_norm"]
    assert (short["selection"], free["selection"]) == ("best_on_test", "unselected")
    assert [run["seed"] for run in short["runs"]] == [0, 1]
    for run in short["runs"]:
        assert len(run["test"]) == 3
        assert run["best_epoch"] == run["test"].index(max(run["test"])) + 1
    best = max(short["runs"], key=lambda run: max(run["test"]))
    assert short["best_on_test"]["all"] == max(best["test"])
    assert [(run["seed"], run["epoch"]) for run in short["seeds"]] == [(best["seed"], best["best_epoch"])]
    assert "mean" not in short
    assert free["runs"] == []
    with np.load(folder / "predictions.npz") as predictions:
        right = predictions["short.classes"][0] == predictions["targets"]
        assert right.mean() == pytest.approx(short["best_on_test"]["micro"])
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml", "predictions.npz", "results.json"]


def test_one_epoch_is_that_of_fit(arguments, here, foreign):
    (here / "short.yaml").write_text(
        "epochs: 1\nbatch_size: 8\nsampler: ClassBalancedSampler\noptimizer: {init_args: {lr: 0.1}}\n"
    )
    cli.main([*arguments, "--methods=short.yaml", "--features.progress=false"])
    model = ["=RetrainModule", f".checkpoint={foreign}", ".bn_mode=train", ".flip_average=true"]
    model += [".backbone=SmallCNN", ".backbone.num_features=8", ".backbone.in_channels=3"]
    model += [".optimizer=torch.optim.SGD", ".optimizer.lr=0.1", ".optimizer.momentum=0.9"]
    common = ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    common += ["--trainer.precision=32-true"]  # as `compare` trains; not what the machine is fastest in
    common += [f"--model{option}" for option in model]
    common += [*(word for word in arguments if word.startswith("--data")), "--data.batch_size=8"]
    common += ["--data.sampler=ClassBalancedSampler"]
    cli.main(["fit", *common])
    ckpt = next((here / "runs").rglob("last.ckpt"))
    cli.main(["test", *common, f"--ckpt_path={ckpt}"])
    tested = [json.loads(path.read_text()) for path in (here / "runs").rglob("results.json")]
    tested = next(found["evaluation"]["test"] for found in tested if "test" in found["evaluation"])
    record = json.loads((here / "better/version_0/results.json").read_text())
    assert record["rows"]["short"]["seeds"][0]["per_class"]["correct"] == tested["per_class"]["correct"]
    assert record["rows"]["short"]["seeds"][0]["ece"] == pytest.approx(tested["calibration"]["ece"]["all"], abs=1e-5)


def test_training_that_diverges_is_marked(run, tmp_path):
    (tmp_path / "wild.yaml").write_text("epochs: 2\nbatch_size: 2\noptimizer: {init_args: {lr: 1.0e+38}}\n")
    quiet = ExtractionOptions(progress=False, device="cpu")
    with pytest.warns(UserWarning, match="Training of wild diverged with every seed"):
        found = run(str(tmp_path / "wild.yaml"), views="published", features=quiet, protocol="paper")
    row = found.row("wild")
    assert (row.heads, row.tests, row.runs[0].best_epoch) == ([], [], 0)
    assert row.linear() is None


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--grid.lr=0.1"], "`grid` (lr) cannot go with `protocol` paper, which runs methods with their own settings"),
        (["--views=2"], "`views` 2 cannot go with `protocol` paper"),
        (["--oracle=true"], "`oracle` true cannot go with `protocol` paper"),
        (["--keep_runs=true"], "`keep_runs` true cannot go with `protocol` paper"),
        (["--protocol=papers"], "papers"),
    ],
)
def test_one_sentence_for_a_mistake(arguments, here, capsys, more, message):
    with pytest.raises(SystemExit) as stop:
        cli.main([*arguments, "--methods=lort", *more])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not (here / "better").exists()


def test_protocols_are_two():
    with pytest.raises(UsageError, match="`protocol` must be validation or paper, but got 'best'"):
        Options(protocol="best")


@pytest.fixture
def setup(foreign, make_data):
    quiet = ExtractionOptions(progress=False, device="cpu", channels_last=False)
    options = Options(protocol="paper", features=quiet)
    return Setup(str(foreign), SmallCNN(8, in_channels=3), make_data(), "linear", {}, options)


def test_runs_differ_by_their_seed_and_leave_stage_1_data_and_random_states_as_they_were(setup):
    settings = Settings(epochs=2, batch_size=8)
    (point,), data, cpu = setup.every_point, setup.data, torch.device("cpu")
    before, random = deepcopy(setup.source.backbone.state_dict()), torch.get_rng_state()
    sampler, batch_size = data.sampler, data.batch_size
    heads = [
        paper.train_on_images(point, seed, settings, setup.source, data, cpu, False, lambda _: None)[0].head
        for seed in (0, 1, 0)
    ]
    assert torch.equal(heads[0].weight, heads[2].weight)
    assert not torch.equal(heads[0].weight, heads[1].weight)
    after = setup.source.backbone.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert torch.equal(torch.get_rng_state(), random)
    assert (data.sampler, data.batch_size, data.train_sampler) == (sampler, batch_size, None)


def test_the_best_epochs_head_is_kept_and_training_goes_on(setup):
    module = paper._Module(setup.source, setup.data, Settings(), False)
    module.start_from_checkpoint()
    module.train()
    best = paper._BestOnTest(setup.data, lambda _: None)
    best.on_train_epoch_end(None, module)
    assert module.training
    norms = [layer for layer in module.backbone.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert norms
    assert all(layer.training for layer in norms)
    weight = module.head.weight.detach().clone()
    best.scores[0] -= 1e-12  # as other classes of the same accuracies would round
    best.on_train_epoch_end(None, module)  # as good as the first epoch, and later
    module.head.weight.data.fill_(torch.nan)
    best.on_train_epoch_end(None, module)
    assert best.scores[0] == pytest.approx(best.scores[1])
    assert best.epoch == 1
    assert torch.equal(best.head.weight, weight)


def test_class_means_are_made_from_features(run):
    quiet = ExtractionOptions(progress=False, device="cpu")
    found = run("ncm", views="published", features=quiet, protocol="paper").row("ncm").heads[0].head
    expected = run("ncm", {"metric": [found.metric], "centre": [found.centre]}).row("ncm").heads[0].head
    torch.testing.assert_close(found.means, expected.means, rtol=1e-4, atol=1e-5)


def test_what_trains_nothing_is_tested_on_images_and_their_mirror_images(run):
    quiet = ExtractionOptions(progress=False, device="cpu")
    found = run("tau_norm", views="published", features=quiet, protocol="paper")
    ((images, _),) = found.data.undistorted_batches("test", torch.device("cpu"))
    for row in found.rows:
        with torch.no_grad():
            plain, mirrored = (
                row.heads[0].head.predict(found.source.backbone(shown)) for shown in (images, images.flip(-1))
            )
        expected, classes = ((plain + mirrored) / 2).softmax(dim=1).max(dim=1)
        torch.testing.assert_close(row.tests[0].confidence, expected)
        assert torch.equal(row.tests[0].classes, classes)


def test_inputs_come_in_the_type_of_the_weights(setup, monkeypatch):
    confidences = []
    for dtype in (torch.uint8, torch.float32):
        monkeypatch.setattr(CIFAR10LT, "to_input", lambda data, images, *_, dtype=dtype, **__: images.to(dtype))
        assert estimate(setup) > 0
        head, loss = LinearHead(8, setup.counts), CrossEntropyLoss(setup.counts)
        head.init_from(setup.source.classifier.weight, setup.source.classifier.bias)
        found = paper.evaluate_untrained(head, loss, setup.source, setup.data, torch.device("cpu"))
        confidences.append(found.confidence)
    assert torch.equal(*confidences)


def test_nothing_is_held_out_of_the_training_images(foreign, make_data):
    options = Options(protocol="paper", features=ExtractionOptions(device="cpu"))
    held_out = make_data(val_from="train")
    found = Setup(str(foreign), SmallCNN(8, in_channels=3), held_out, "linear", {}, options)
    assert found.counts == found.data.class_counts == make_data(val_from="none").class_counts

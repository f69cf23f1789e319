"""Both stages in one command."""

import json

import pytest
import yaml

from lt_lightning import pipeline
from lt_lightning.errors import UsageError

TINY = {
    "output": "runs/tiny",
    "trainer": {"accelerator": "cpu", "enable_progress_bar": False},
    "data": {"class_path": "DigitsLT", "init_args": {"batch_size": 64}},
    "stage1": {
        "model": {
            "class_path": "RepresentationModule",
            "init_args": {"backbone": {"class_path": "SmallCNN", "init_args": {"num_features": 8}}},
        },
        "trainer": {"max_epochs": 2},
    },
    "stage2": {},
}
BACKBONE = {"class_path": "SmallCNN", "init_args": {"num_features": 8}}


def retrain(epochs=1, **init_args):
    model = {"class_path": "RetrainModule", "init_args": {"backbone": BACKBONE, **init_args}}
    return {"model": model, "trainer": {"max_epochs": epochs}}


def write(here, **stage2):
    path = here / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY | {"stage2": stage2}, sort_keys=False))
    return ["pipeline", "-c", str(path)]


def test_stages_table_and_files(here, capsys):
    arguments = write(
        here,
        lort=retrain(loss="LORTLoss"),
        tau_norm=retrain(head="TauNormHead"),
        lws=retrain(head="LWSHead") | {"sampler": "ClassBalancedSampler", "batch_size": 32},
    )
    pipeline.main(arguments)
    printed = capsys.readouterr().out
    folder = here / "runs/tiny/version_0"
    record = json.loads((folder / "results.json").read_text())
    assert list(record["stages"]) == ["stage1", "lort", "tau_norm", "lws"]
    rows = [line.split("│")[1].strip() for line in printed.splitlines() if line.startswith("│")]
    assert rows[-4:] == ["stage 1", "lort", "tau_norm", "lws"]
    assert printed.count("18 of 18 backbone tensors matched") == 3
    stages = {name: json.loads((folder / name / "results.json").read_text()) for name in record["stages"]}
    for name, stage in stages.items():
        assert set(stage["evaluation"]) == {"val", "test"}
        assert stage["evaluation"]["test"]["accuracy"] == record["stages"][name]["test"]
        assert stage["data"]["hashes"] == stages["stage1"]["data"]["hashes"]
    assert stages["lort"]["checkpoint"] == str(folder / "stage1/checkpoints/last.ckpt")
    assert stages["lws"]["sampler"] == "ClassBalancedSampler"
    assert stages["lort"]["sampler"] == "InstanceSampler"
    assert stages["tau_norm"]["steps"] == 0
    assert stages["lws"]["steps"] > stages["lort"]["steps"]
    # A stage's own configuration replays with `fit`, to the same figures.
    from lt_lightning.main import main

    main(["fit", "-c", str(folder / "lort/config.yaml")])
    again = json.loads((here / "runs/config/version_0/results.json").read_text())
    assert again["evaluation"]["val"]["accuracy"] == stages["lort"]["evaluation"]["val"]["accuracy"]
    # The whole plan replays too, into a folder of its own.
    pipeline.main(["pipeline", "-c", str(folder / "config.yaml")])
    replayed = json.loads((here / "runs/tiny/version_1/results.json").read_text())
    assert {name: row["test"] for name, row in replayed["stages"].items()} == {
        name: row["test"] for name, row in record["stages"].items()
    }


def test_options_reach_every_stage(here):
    arguments = write(here, tau=retrain(head={"class_path": "TauNormHead", "init_args": {"tau": 1.0}}))
    more = ["--stage2.tau.model.head.tau=0.5", "--data.imbalance_ratio=20", "--stage1.trainer.max_epochs=1"]
    pipeline.main([*arguments, *more, "--seed_everything=4", "--output=elsewhere"])
    record = json.loads((here / "elsewhere/version_0/results.json").read_text())
    assert record["seed"] == 4
    assert record["class_counts"][-1] == 5
    assert record["stages"]["stage1"]["epochs"] == 1
    config = yaml.safe_load((here / "elsewhere/version_0/tau/config.yaml").read_text())
    assert config["model"]["init_args"]["head"]["init_args"]["tau"] == 0.5


def test_print_config_of_a_pipeline(here, capsys):
    with pytest.raises(SystemExit) as stop:
        pipeline.main([*write(here, lort=retrain()), "--print_config"])
    assert stop.value.code == 0
    assert "lort" in yaml.safe_load(capsys.readouterr().out)["stage2"]


@pytest.mark.parametrize(
    ("stage2", "sentence"),
    [
        ({"bad": retrain(loss="LDAMLoss")}, "LDAMLoss do not go together"),
        ({"bad": retrain(head={"class_path": "TauNormHead", "init_args": {"tau": -1}})}, "tau"),
        (
            {"bad": retrain(loss="BalancedSoftmaxLoss") | {"sampler": "ClassBalancedSampler"}},
            "`data.sampler` and `BalancedSoftmaxLoss`",
        ),
        (
            {"bad": retrain(backbone={"class_path": "SmallCNN", "init_args": {"num_features": 16}})},
            "`stage2.bad.model.backbone` SmallCNN differs from `stage1.model.backbone`",
        ),
        ({"bad": {**retrain(), "trainer": {"devices": 2}}}, "`stage2.bad.trainer.devices` is 2, but stages cannot"),
        ({"bad": {**retrain(), "trainer": {"logger": True}}}, "set `output` instead"),
        ({"bad": retrain(checkpoint="x.ckpt")}, "`stage2.bad.model.checkpoint` is 'x.ckpt'"),
        (
            {"bad": {**retrain(loss="LORTLoss"), "trainer": {"max_epochs": 1, "callbacks": [{"class_path": "DRW"}]}}},
            "LORT",
        ),
        ({}, "`stage2` names no method"),
    ],
)
def test_mistakes_in_stage2_stop_before_stage1(here, stage2, sentence):
    with pytest.raises(UsageError, match=sentence):
        pipeline.main(write(here, fine=retrain(), **stage2) if stage2 else write(here))
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("stage2", "word"),
    [
        (retrain(headd="LinearHead"), "headd"),
        (retrain(loss={"class_path": "LORTLoss", "init_args": {"delta": "much"}}), "delta"),
        ({**retrain(), "max_epochs": 3}, "max_epochs"),
    ],
)
def test_misspelt_keys_of_stage2_stop_before_stage1(here, capsys, stage2, word):
    with pytest.raises(UsageError, match=word):
        pipeline.main(write(here, bad=stage2))
    assert not (here / "runs").exists()


def test_devices_on_the_command_line_of_a_stage(here):
    with pytest.raises(UsageError, match=r"`stage1.trainer.devices` .* set `trainer.devices` for the whole pipeline"):
        pipeline.main([*write(here, lort=retrain()), "--stage1.trainer.devices=2"])


def test_invalid_yaml_is_named(here):
    (here / "broken.yaml").write_text("stage2: [unclosed")
    with pytest.raises(UsageError, match=r"'broken\.yaml' is not valid YAML"):
        pipeline.main(["pipeline", "-c", "broken.yaml"])


@pytest.mark.parametrize(
    ("mistake", "option"),
    [
        ("--stage1.model.lrr=1", "--stage1.model.help RepresentationModule"),
        ("--stage2.lort.model.loss=Nope", "--stage2.lort.model.help RetrainModule"),
        ("--data.nope=1", "--data.help DigitsLT"),
    ],
)
def test_a_mistake_is_answered_with_the_help_that_exists(here, capsys, mistake, option):
    with pytest.raises(UsageError, match=f"`lt-lightning pipeline {option}` and `--print_config` show what there is"):
        pipeline.main(["pipeline", "-c", "quickstart", mistake])
    with pytest.raises(SystemExit) as stop:
        pipeline.main(["pipeline", *option.split()])
    assert stop.value.code == 0
    assert "usage" in capsys.readouterr().out


def test_stages_train_in_the_precision_the_device_is_fastest_in(here, monkeypatch, capsys):
    monkeypatch.setattr("lt_lightning.main.fastest_precision", lambda accelerator: "bf16-mixed")
    pipeline.main(write(here, lort=retrain(loss="LORTLoss")))
    folder = here / "runs/tiny/version_0"
    used = [json.loads((folder / name / "results.json").read_text())["environment"] for name in ("stage1", "lort")]
    assert [environment["precision"] for environment in used] == ["bf16-mixed", "bf16-mixed"]
    assert capsys.readouterr().out.count("training in bf16-mixed") == 1

"""Both stages in one command."""

import json
import sys
from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
import yaml
from lightning.pytorch import Callback
from short_runs import BACKBONE
from tiny_pipeline import TINY, retrain, write

from lt_lightning import pipeline, report
from lt_lightning.errors import UsageError
from lt_lightning.main import main
from lt_lightning.results import sha256_of


def with_callbacks(*callbacks):
    return {**retrain(), "trainer": {"max_epochs": 1, "callbacks": list(callbacks)}}


class Doubling(Callback):
    """Has a default that no text stands for."""

    def __init__(self, double: Callable[[int], int] = lambda value: 2 * value):
        self.double = double


class Full(Callback):
    """A GPU without room for a batch of validation."""

    def on_validation_batch_start(self, *_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


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
    assert record["config_sha256"] == sha256_of(folder / "config.yaml")
    seconds = {name: row["training_seconds"] for name, row in record["stages"].items()}
    assert seconds["tau_norm"] == 0 < seconds["lort"] < sum(seconds.values()) < record["seconds"]["pipeline"]
    assert stages["lort"]["checkpoint"] == str(folder / "stage1/checkpoints/last.ckpt")
    assert stages["lws"]["sampler"] == "ClassBalancedSampler"
    assert stages["lort"]["sampler"] == "InstanceSampler"
    assert stages["tau_norm"]["sampler"] is None  # no image was drawn, least of all by an earlier stage's sampler
    assert stages["tau_norm"]["steps"] == 0
    assert stages["lws"]["steps"] > stages["lort"]["steps"]
    # A stage's own configuration replays with `fit`, to the same figures.
    main(["fit", "-c", str(folder / "lort/config.yaml")])
    again = json.loads((here / "runs/RetrainModule/version_0/results.json").read_text())
    assert again["evaluation"]["val"]["accuracy"] == stages["lort"]["evaluation"]["val"]["accuracy"]
    # The whole plan replays too, into a folder of its own.
    pipeline.main(["pipeline", "-c", str(folder / "config.yaml")])
    replayed = json.loads((here / "runs/tiny/version_1/results.json").read_text())
    assert {name: row["test"] for name, row in replayed["stages"].items()} == {
        name: row["test"] for name, row in record["stages"].items()
    }


def test_a_null_reaches_every_stage_or_is_refused(here, capsys):
    arguments = write(here, tau_norm=retrain(head="TauNormHead"))
    pipeline.main([*arguments, "--data.max_count=null", "--data.imbalance_ratio=1"])
    folder = here / "runs/tiny/version_0"
    for name in (".", "stage1", "tau_norm"):
        assert json.loads((folder / name / "results.json").read_text())["class_counts"][0] > 100  # which is the default
        assert yaml.safe_load((folder / name / "config.yaml").read_text())["data"]["init_args"]["max_count"] is None
    capsys.readouterr()
    pipeline.main(["pipeline", f"--resume={folder}"])
    assert f"written to {folder}" in capsys.readouterr().out
    for key in ("data.batch_size", "stage2.tau_norm.model.lr_scheduler", "stage2.tau_norm.model.optimizer"):
        with pytest.raises(UsageError, match=f"^`{key}` is null, which it cannot be; give a value, or leave it out"):
            pipeline.main([*arguments, f"--{key}=null"])


def test_a_method_that_diverges_costs_the_others_nothing(here, capsys):
    wild = {"class_path": "torch.optim.SGD", "init_args": {"lr": 1.0e30, "weight_decay": 1.0e20}}
    arguments = write(here, wild=retrain(epochs=2, optimizer=wild), tau_norm=retrain(head="TauNormHead"))
    with pytest.warns(
        UserWarning, match=r"`stage2.wild` has no figures, the other methods go on\. Training has diverged"
    ):
        pipeline.main(arguments)
    stages = json.loads((here / "runs/tiny/version_0/results.json").read_text())["stages"]
    assert stages["wild"] == {"folder": str(here / "runs/tiny/version_0/wild"), "diverged": True}
    assert 0 < stages["tau_norm"]["test"]["all"] < 1
    rows = [line.split("│")[1:3] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert [cell.strip() for cell in rows[-2]] == ["wild", "–"]


def test_stage2_starts_from_the_last_epoch_whatever_else_is_saved(here):
    """A callback of the user's that keeps an epoch chosen on validation images comes first among the trainer's."""
    best = {"class_path": "ModelCheckpoint", "init_args": {"monitor": "val/ece", "mode": "min", "filename": "best"}}
    plan = TINY | {
        "stage1": {**TINY["stage1"], "trainer": {"max_epochs": 2, "callbacks": [best]}},
        "stage2": {"linear": retrain(3)},
    }
    ends = {"monitor": "val/all", "mode": "max", "patience": 1, "min_delta": 1.0}
    plan["stage2"]["linear"]["trainer"]["callbacks"] = [{"class_path": "EarlyStopping", "init_args": ends}]
    (here / "tiny.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    pipeline.main(["pipeline", "-c", "tiny.yaml"])
    folder = here / "runs/tiny/version_0"
    assert (folder / "stage1/checkpoints/best.ckpt").is_file()
    started_from = json.loads((folder / "linear/results.json").read_text())["checkpoint"]
    assert started_from == str(folder / "stage1/checkpoints/last.ckpt")
    record = json.loads((folder / "results.json").read_text())
    ended = "val: the epoch that EarlyStopping ended at by val/all"
    assert [record["stages"][name]["selection"] for name in ("stage1", "linear")] == [record["selection"], ended]
    runs, _ = report.collect([folder])
    assert {run.names.method: run.protocol.selection for run in runs} == {"stage1": "none", "linear": "val"}


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


CUT = {"class_path": "Cutout", "init_args": {"length": 3}}


CUT_RECORD = {"class": "lt_lightning.augmentations.cutout.Cutout", "length": 3, "fill": 0}


PLAIN_RECORD = {"class": "lt_lightning.augmentations.base.NoAugmentation"}


def test_stages_have_augmentations_of_their_own(here):
    """Stage 1 a class; stage 2 none, or the data's."""
    data = {"class_path": "DigitsLT", "init_args": {"batch_size": 64, "augmentation": CUT}}
    stages = {
        "plain": retrain() | {"augmentation": "none"},
        "shared": retrain(),  # the data's again
        "null": retrain() | {"augmentation": None},
        "tau_norm": retrain(head="TauNormHead"),
    }
    plan = TINY | {"data": data, "stage1": TINY["stage1"] | {"augmentation": "ColorJitter"}, "stage2": stages}
    (here / "own.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    pipeline.main(["pipeline", "-c", "own.yaml"])
    folder = here / "runs/tiny/version_0"
    record = json.loads((folder / "results.json").read_text())
    jitter = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "fill": 0}
    expected = {
        "stage1": {"class": "lt_lightning.augmentations.color_jitter.ColorJitter", **jitter},
        "plain": PLAIN_RECORD,
        "shared": CUT_RECORD,
        "null": CUT_RECORD,
        "tau_norm": None,  # no image went through any
    }
    records = {name: json.loads((folder / name / "results.json").read_text()) for name in expected}
    assert {name: row["augmentation"] for name, row in record["stages"].items()} == expected
    assert {name: found["augmentation"] for name, found in records.items()} == expected
    splits = [found["data"]["hashes"] for found in records.values()]
    assert splits == [splits[0]] * len(expected)
    weights = {name: head_weight(folder / name) for name in expected if name != "tau_norm"}
    assert torch.equal(weights["shared"], weights["null"])
    assert not torch.equal(weights["shared"], weights["plain"])
    # A stage's own configuration shows it the same images.
    main(["fit", "-c", str(folder / "plain/config.yaml")])
    assert torch.equal(head_weight(here / "runs/RetrainModule/version_0"), weights["plain"])
    plan = yaml.safe_load((folder / "config.yaml").read_text())["stage2"]
    assert {name: stage.get("augmentation") for name, stage in plan.items()} == dict.fromkeys(plan) | {"plain": "none"}


def head_weight(folder):
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]["head.weight"]


OWN_DATA = """
from collections.abc import Callable

from lt_lightning.augmentations import Augmentation, NoAugmentation
from lt_lightning.data import DigitsLT

class Fixed(DigitsLT):
    def __init__(self, batch_size: int = 64) -> None:
        super().__init__(batch_size=batch_size)

class Hidden(DigitsLT):
    # takes one, but does not show it

    def __init__(self, augmentation: Callable[[], Augmentation] = NoAugmentation, batch_size: int = 64) -> None:
        super().__init__(batch_size=batch_size)
        self.augmentation = lambda images, generator: images
"""


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (
            "Fixed",
            r"`stage2\.bad\.augmentation` is given, but `data` Fixed has no argument `augmentation`.*; remove it",
        ),
        (
            "Hidden",
            r"`stage2\.bad\.augmentation` is given, but `data` Hidden has no attribute `augmentation`.*; remove it",
        ),
    ],
)
@pytest.mark.parametrize("augmentation", ["Cutout", CUT, "none"])
def test_data_without_augmentation_refuse_one_before_stage1(here, monkeypatch, kind, sentence, augmentation):
    (here / "own_data.py").write_text(OWN_DATA)
    monkeypatch.syspath_prepend(here)
    monkeypatch.delitem(sys.modules, "own_data", raising=False)
    data = [f"--data=own_data.{kind}", "--data.batch_size=64"]
    with pytest.raises(UsageError, match=sentence):
        pipeline.main([*write(here, fine=retrain(), bad=retrain() | {"augmentation": augmentation}), *data])
    assert not (here / "runs").exists()


def test_data_without_augmentation_run_as_before(here, monkeypatch):
    (here / "own_data.py").write_text(OWN_DATA)
    monkeypatch.syspath_prepend(here)
    monkeypatch.delitem(sys.modules, "own_data", raising=False)
    pipeline.main([*write(here, lort=retrain()), "--data=own_data.Hidden", "--data.batch_size=64"])
    record = json.loads((here / "runs/tiny/version_0/results.json").read_text())
    assert [row["augmentation"] for row in record["stages"].values()] == [None, None]


@pytest.mark.parametrize(
    ("stage2", "sentence"),
    [
        ({"bad": retrain(loss="LDAMLoss")}, "LDAMLoss do not go together"),
        (
            {"bad": retrain(head={"class_path": "TauNormHead", "init_args": {"tau": -1}})},
            "^`stage2.bad`: `tau` must be",
        ),
        ({"bad": {**retrain(), "trainer": {"max_steps": 3}}}, "^`stage2.bad`: `CosineLR` needs to know where"),
        (
            {"bad": {**retrain(), "trainer": {}}},
            "^`stage2.bad.trainer.max_epochs` is not set, so training would have no",
        ),
        (
            {"bad": {**retrain(), "trainer": {"max_epochs": 1, "limit_train_batches": 0}}},
            "^`stage2.bad`: .*nothing would",
        ),
        (
            {
                "bad": {
                    **retrain(),
                    "trainer": {
                        "max_epochs": 1,
                        "callbacks": [{"class_path": "EarlyStopping", "init_args": {"monitor": "nope"}}],
                    },
                }
            },
            "^`stage2.bad`: `EarlyStopping` goes by `monitor` 'nope', which nothing logs",
        ),
        (
            {"bad": with_callbacks({"class_path": "BackboneFinetuning"})},
            "^`stage2.bad`: `trainer.callbacks` BackboneFinetuning unfreezes",
        ),
        (
            {
                "bad": with_callbacks(
                    {"class_path": "WeightEMA"},
                    {"class_path": "ModelPruning", "init_args": {"pruning_fn": "l1_unstructured"}},
                )
            },
            "^`stage2.bad`: `ModelPruning` does not go with `WeightEMA`",
        ),
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
        ({"bad": retrain() | {"augmentation": {"class_path": "Cutout", "init_args": {"length": 0}}}}, "at least 1"),
        ({"stage1": retrain()}, "`stage2` names a method 'stage1', which is the first stage; call it otherwise"),
        ({}, "`stage2` names no method"),
    ],
)
def test_mistakes_in_stage2_stop_before_stage1(here, stage2, sentence):
    with pytest.raises(UsageError, match=sentence):
        pipeline.main(write(here, fine=retrain(), **stage2) if stage2 else write(here))
    assert not (here / "runs").exists()


def test_memory_that_is_short_names_both_sizes(here):
    sentence = r"^The GPU's memory is short; take a smaller `data\.batch_size` or `data\.eval_batch_size`, or ask for "
    with pytest.raises(UsageError, match=sentence):
        pipeline.main(write(here, full=with_callbacks({"class_path": f"{__name__}.Full"})))


def test_a_value_that_no_configuration_can_hold_stops_before_stage1(here):
    arguments = write(here, bad=with_callbacks({"class_path": f"{__name__}.Doubling"}))
    sentence = r"^`stage2.bad.trainer.callbacks.0.double` is <function Doubling.<lambda> at .*, which cannot be written"
    with pytest.warns(UserWarning, match="Unable to serialize"), pytest.raises(UsageError, match=sentence):
        pipeline.main(arguments)
    assert not (here / "runs").exists()


def test_an_average_of_lightnings_reaches_its_stage_as_it_was_given(here):
    average = {"class_path": "StochasticWeightAveraging", "init_args": {"swa_lrs": 0.01, "swa_epoch_start": 1}}
    first = {**TINY["stage1"], "trainer": {"max_epochs": 1, "callbacks": [average]}}
    pipeline.main(write(here, first, tau_norm=retrain(head="TauNormHead")))
    written = yaml.safe_load((here / "runs/tiny/version_0/stage1/config.yaml").read_text())
    assert written["trainer"]["callbacks"][0]["init_args"]["device"] == "cpu"


def test_stage1_too_needs_an_end(here):
    with pytest.raises(UsageError, match=r"^`stage1.trainer.max_epochs` is not set, so training would have no end"):
        pipeline.main(write(here, {**TINY["stage1"], "trainer": {}}, lort=retrain()))
    assert not (here / "runs").exists()


def test_stages_train_in_the_precision_the_device_is_fastest_in(here, monkeypatch, capsys):
    monkeypatch.setattr("lt_lightning.devices.choice.fastest_precision", lambda accelerator: "bf16-mixed")
    pipeline.main([*write(here, lort=retrain(loss="LORTLoss")), "--trainer.precision=null"])
    folder = here / "runs/tiny/version_0"
    used = [json.loads((folder / name / "results.json").read_text())["environment"] for name in ("stage1", "lort")]
    assert [environment["precision"] for environment in used] == ["bf16-mixed", "bf16-mixed"]
    assert capsys.readouterr().out.count("training in bf16-mixed") == 1


OWN_LOSS = """
import torch
from torch.nn import functional as F
from lt_lightning.losses import Loss

class Centres(Loss):
    def __init__(self, class_counts: list[int], num_features: int) -> None:
        super().__init__(class_counts)
        self.register_buffer("centres", torch.zeros(len(class_counts), num_features))
    def forward(self, logits, targets, features=None):
        return F.cross_entropy(logits, targets) + (features - self.centres[targets]).square().mean()
"""


def test_a_loss_of_ones_own_that_does_not_fit_the_features_costs_no_stage1(here, monkeypatch, capsys):
    (here / "pipeline_loss.py").write_text(OWN_LOSS)
    monkeypatch.syspath_prepend(here)
    width = BACKBONE["init_args"]["num_features"]
    loss = {"class_path": "pipeline_loss.Centres", "init_args": {"num_features": width + 1}}
    arguments = write(here, lort=retrain(loss="LORTLoss"), mine=retrain(loss=loss))
    with pytest.raises(RuntimeError, match=f"{width + 1}") as error:
        pipeline.main(arguments)
    said = "".join(getattr(error.value, "__notes__", [])) or capsys.readouterr().err
    assert "in method 'mine'" in said
    assert not (here / "runs").exists()
    loss["init_args"]["num_features"] = width
    pipeline.main(write(here, mine=retrain(loss=loss)))
    assert (here / "runs/tiny/version_0/mine/results.json").is_file()


OWN_HEAD = """
from torch import nn
from torch.nn import functional as F
from lt_lightning.heads import Head

class Deep(Head):
    def __init__(self, in_features: int, class_counts: list[int], hidden: int = 4) -> None:
        super().__init__(in_features, class_counts)
        self.neck = nn.Linear(in_features, hidden)
        self.fc = nn.Linear(hidden, self.num_classes)
    def forward(self, features):
        return self.fc(F.relu(self.neck(features)))

class Normed(Head):
    def __init__(self, in_features: int, class_counts: list[int]) -> None:
        super().__init__(in_features, class_counts)
        self.fc = nn.utils.parametrizations.weight_norm(nn.Linear(in_features, self.num_classes))
    def forward(self, features):
        return self.fc(features)

class Shifted(Head):
    def __init__(self, in_features: int, class_counts: list[int]) -> None:
        super().__init__(in_features, class_counts)
        self.norm = nn.BatchNorm1d(in_features)
        self.fc = nn.Linear(in_features, self.num_classes)
    def forward(self, features):
        return self.fc(self.norm(features))
"""

OTHER_WAY = (
    "give stage 1 another head, or train it by `lt-lightning fit`, a linear classifier on its backbone by `probe`, and "
    r"stage 2 by `fit --model\.checkpoint` with the file that this writes\.$"
)


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        ("Deep", f"has a head of somebody's own, Deep, that holds 'head.neck.weight' [^;]*; {OTHER_WAY}"),
        ("Normed", f"has a classifier 'head.fc' whose weight is computed from [^;]*; {OTHER_WAY}"),
        ("Shifted", "does not fit .*; .* set `model.allow_partial` to true to leave them aside"),
    ],
)
def test_a_head_of_ones_own_that_stage2_cannot_start_from_costs_no_stage1(here, monkeypatch, head, sentence):
    (here / "pipeline_head.py").write_text(OWN_HEAD)
    monkeypatch.syspath_prepend(here)
    monkeypatch.delitem(sys.modules, "pipeline_head", raising=False)
    plan = deepcopy(TINY["stage1"])
    plan["model"]["init_args"]["head"] = f"pipeline_head.{head}"
    with pytest.raises(UsageError, match=rf"^`stage2.lort`: `checkpoint` \"stage 1's last epoch\" {sentence}"):
        pipeline.main(write(here, plan, lort=retrain()))
    assert not (here / "runs").exists()

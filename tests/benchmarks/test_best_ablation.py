"""The ablation runs, stops and goes on; what it calls the best recipe is the preset."""

import json
from pathlib import Path

import pytest

from lt_lightning import presets

FOLDER = Path(__file__).parents[2] / "benchmarks"
OVERLAY = Path(__file__).parents[1] / "conf" / "cifar100_lt.yaml"


# One process for everything: its classes stay out of this one, whose parsers would meet them.
DRIVER = """
import json, sys
import best_ablation
from lt_lightning.errors import UsageError
names = [best_ablation.BASELINE, *best_ablation.VARIANTS[-2:], "recipe+ema"]
print("configs", json.dumps([best_ablation.stage1_config(name) for name in names]))
options, steps = json.loads(sys.argv[1])
for step in steps:
    print("step", *step)
    try:
        best_ablation.main([*options, *step])
    except UsageError as error:
        print("refused", error)
"""
OTHER = "augmentation+mixup+ema"
BOTH = ("--variants", f"baseline,{OTHER}")
STEPS = [
    (*BOTH, "--budget", "0"),
    ("--variants", "baseline"),
    BOTH,
    ("--views", "3"),
    ("--variants", "mixup+colour"),
    ("--variants", "mixup+cutmix"),
]


@pytest.fixture(scope="module")
def found(run_script, cifar100_root, tmp_path_factory):
    """What each step says, the configurations, and the file that is left."""
    here = tmp_path_factory.mktemp("ablation")
    options = ["--root", str(cifar100_root), "--over", str(OVERLAY), "--runs", str(here / "runs")]
    options += ["--methods", "tau_norm,logit_adjustment", "--stage2-seeds", "1", "--views", "2"]
    options += ["--accelerator", "cpu", "--device", "cpu", "--output", str(here / "found.json")]
    (here / "driver.py").write_text(DRIVER)
    configs, *said = run_script(here / "driver.py", json.dumps([options, STEPS])).split("step ")
    return said, json.loads(configs.removeprefix("configs ")), json.loads((here / "found.json").read_text())


def test_the_last_variant_is_the_preset(found):
    baseline, without, best, _ = found[1]
    preset = presets.load("cifar100_lt/stage1/best")
    network = best["model"]["init_args"].pop("backbone")  # that of the baseline, for all variants
    assert network == baseline["model"]["init_args"]["backbone"]
    assert preset["model"]["init_args"].pop("backbone") == "ResNet32"
    assert best == preset
    assert baseline == presets.load("cifar100_lt/stage1/ce")
    assert "augmentation" not in without["data"]["init_args"]
    without["model"]["init_args"].pop("backbone")
    assert without["model"] == best["model"]
    assert without["trainer"] == best["trainer"]


def test_parts_that_bring_callbacks_keep_each_others(found):
    averaged = found[1][-1]["trainer"]["callbacks"]
    assert [callback["class_path"] for callback in averaged] == ["LinearWarmup", "WeightEMA"]


def test_it_stops_and_goes_on(found):
    said, _, held = found
    assert f"unfinished: baseline (seed 0), {OTHER} (seed 0)" in said[0]
    assert "baseline, seed 0: 1 of 1 left" in said[1]
    assert f"{OTHER}, seed 0: 1 of 2 left" in said[2]
    assert "unfinished" not in said[2]
    assert "★" in said[2]
    assert [run["variant"] for run in held["runs"]] == ["baseline", OTHER]
    assert all(run["environment"]["hardware"] for run in held["runs"])  # which may be another for each


def test_stage_2_is_chosen_on_validation_images(found):
    plain, best = found[2]["runs"]
    assert list(plain["stage2"]) == ["plain"]
    assert list(best["stage2"]) == ["plain", "as stage 1"]
    for run in (plain, best):
        rows = [row for compared in run["stage2"].values() for row in compared["rows"].values()]
        assert len(rows) == 3 * len(run["stage2"])
        assert run["best"]["validation"] == max(row["validation"] for row in rows)
        assert all(compared["protocol"]["selection"] == "val" for compared in run["stage2"].values())


def test_what_cannot_be_run_is_refused(found):
    said = found[0]
    assert "holds runs with another value of views" in said[3]
    assert "has no part 'colour'" in said[4]
    assert "mixes images in two ways" in said[5]


def test_the_pipeline_is_made_of_the_two_presets():
    plan = presets.load("cifar100_lt/pipeline_best")
    stage1, stage2 = presets.load("cifar100_lt/stage1/best"), presets.load("cifar100_lt/best")
    for stage, preset in ((plan["stage1"], stage1), (plan["stage2"]["mislas"], stage2)):
        assert stage["model"] == preset["model"]
        assert stage["trainer"] == preset["trainer"]
    assert plan["data"] == stage1["data"]
    sampler = plan["stage2"]["mislas"]["sampler"]
    options = {key: value for key, value in plan["data"]["init_args"].items() if key != "augmentation"}
    size = plan["stage2"]["mislas"]["batch_size"]
    assert stage2["data"]["init_args"] == options | {"sampler": sampler, "batch_size": size}

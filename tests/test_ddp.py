"""Two processes give what one gives: commands typed in a shell, on two CPU processes."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
import yaml

from lt_lightning.callbacks.averaging import TRAINING_WEIGHTS

TWO = ("--trainer.devices=2", "--trainer.strategy=ddp")
BACKBONE = {"class_path": "SmallCNN", "init_args": {"num_features": 8}}

pytestmark = pytest.mark.slow


def shell(folder: Path, *command: str) -> str:
    environment = dict(os.environ)
    for name in ("LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        environment.pop(name, None)
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def results(path: Path):
    return json.loads((path / "results.json").read_text())


def retrain(**init_args):
    return {"class_path": "RetrainModule", "init_args": {"backbone": BACKBONE, **init_args}}


PER_PROCESS = """
import torch
from lightning.pytorch import Callback

class PerProcess(Callback):
    \"\"\"Leaves the weights that a process validates and tests.\"\"\"

    def on_validation_batch_end(self, trainer, pl_module, *args):
        if not trainer.sanity_checking:
            torch.save(pl_module.state_dict(), f"validated_{trainer.global_rank}.pt")

    def on_test_batch_end(self, trainer, pl_module, *args):
        torch.save(pl_module.state_dict(), f"tested_{trainer.global_rank}.pt")
"""


@pytest.fixture
def plan(here):
    """A pipeline whose second stage is exactly reproducible: no augmentation, statistics of stage 1.

    What stages leave is the moving average of their weights; stage 1 also leaves what each process evaluates.
    """
    (here / "per_process.py").write_text(PER_PROCESS)
    average = {"class_path": "WeightEMA", "init_args": {"decay": 0.9}}
    data = {"batch_size": 64, "crop_padding": 0, "eval_batch_size": 48}
    weighted = {"class_path": "ClassBalancedLoss", "init_args": {"kind": "softmax"}}
    content = {
        "output": "runs/two",
        "trainer": {"accelerator": "cpu", "enable_progress_bar": False, "precision": "32-true"},
        "data": {"class_path": "DigitsLT", "init_args": data},
        "stage1": {
            "model": {"class_path": "RepresentationModule", "init_args": {"backbone": BACKBONE}},
            "trainer": {"max_epochs": 1, "callbacks": [average, {"class_path": "per_process.PerProcess"}]},
        },
        "stage2": {
            "weighted": {"model": retrain(loss=weighted), "trainer": {"max_epochs": 2, "callbacks": [average]}},
            "tau_norm": {"model": retrain(head="TauNormHead")},
        },
    }
    (here / "two.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return here


def test_pipeline_on_two_processes(plan, python):
    printed = shell(plan, python, "-m", "lt_lightning", "pipeline", "-c", "two.yaml", *TWO)
    assert printed.count("written to") == 1  # one process speaks
    assert [path.name for path in (plan / "runs/two").iterdir()] == ["version_0"]  # the other made no folder of its own
    folder = plan / "runs/two/version_0"
    for stage in ("stage1", "weighted", "tau_norm"):
        record = results(folder / stage)
        assert record["environment"]["processes"] == 2
        assert record["evaluation"]["test"]["per_class"]["total"] == [50] * 10  # each test image once
        assert record["evaluation"]["val"]["per_class"]["total"] == [20] * 10
    # Each process evaluates the average that is saved, statistics of batch normalisation included.
    saved = torch.load(folder / "stage1/checkpoints/last.ckpt", weights_only=True)
    for evaluated in ("validated_0", "validated_1", "tested_0", "tested_1"):
        held = torch.load(plan / f"{evaluated}.pt", weights_only=True)
        assert all(torch.equal(held[name], saved["state_dict"][name]) for name in saved[TRAINING_WEIGHTS]), evaluated
    assert "backbone.layers.1.running_var" in saved[TRAINING_WEIGHTS]
    # Stage 2 again from the same stage-1 file on one process: same steps, same classifier, same figures.
    one = [python, "-m", "lt_lightning", "fit", "-c", str(folder / "weighted/config.yaml")]
    shell(plan, *one, "--trainer.devices=1", "--trainer.strategy=auto")
    single = plan / "runs/RetrainModule/version_0"
    together, alone = (
        torch.load(path / "checkpoints/last.ckpt", weights_only=True) for path in (folder / "weighted", single)
    )
    assert together["global_step"] == alone["global_step"]
    for name in ("head.weight", "head.bias"):
        average, training = together["state_dict"][name], together[TRAINING_WEIGHTS][name]
        torch.testing.assert_close(average, alone["state_dict"][name], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(training, alone[TRAINING_WEIGHTS][name], rtol=1e-4, atol=1e-6)
        assert not torch.allclose(average, training, rtol=1e-4, atol=1e-6)
    for key in ("correct", "total"):
        assert (
            results(folder / "weighted")["evaluation"]["val"]["per_class"][key]
            == results(single)["evaluation"]["val"]["per_class"][key]
        )


def test_torchrun(plan, python):
    torchrun = [python, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "-m", "lt_lightning"]
    printed = shell(plan, *torchrun, "pipeline", "-c", "two.yaml", *TWO)
    assert printed.count("written to") == 1
    folder = plan / "runs/two/version_0"
    assert results(folder / "tau_norm")["evaluation"]["test"]["per_class"]["total"] == [50] * 10
    assert [path.name for path in (plan / "runs/two").iterdir()] == ["version_0"]


CLUSTER = Path(__file__).resolve().parents[1] / "configs/cluster"
DIGITS = (
    "--model.backbone=SmallCNN",
    "--model.backbone.num_features=8",
    "--data=DigitsLT",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
)


def test_the_torchrun_script(here, python, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}")
    for option in ("NPROC", "NNODES", "HEAD", "RUN_ID"):
        monkeypatch.delenv(option, raising=False)
    model = ("--model=RepresentationModule", "--trainer.max_epochs=1", *DIGITS)
    shell(here, "bash", str(CLUSTER / "torchrun.sh"), "fit", *model)
    record = results(here / "runs/RepresentationModule/version_0")
    assert record["environment"]["processes"] == 2
    assert record["evaluation"]["val"]["per_class"]["total"] == [20] * 10
    monkeypatch.setenv("NNODES", "2")
    done = subprocess.run(
        ["bash", CLUSTER / "torchrun.sh", "fit"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr.startswith("torchrun.sh: error: `HEAD` is not set")) == (2, True)


def test_the_array_script_trains_tests_and_goes_on(here, python, monkeypatch):
    (here / "bin").mkdir()
    command = here / "bin/lt-lightning"
    command.write_text(f'#!/usr/bin/env bash\nexec {python} -m lt_lightning "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{here / 'bin'}{os.pathsep}{os.environ['PATH']}")
    (here / "mine.yaml").write_text(yaml.safe_dump({"model": "RepresentationModule", "trainer": {"max_epochs": 2}}))
    for name, value in {
        "PRESETS": "other mine.yaml",
        "SEEDS": "0 5",
        "NAME": "array",
        "SLURM_ARRAY_TASK_ID": "3",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    script = ("bash", str(CLUSTER / "slurm.sh"), *DIGITS)
    shell(here, *script, "--trainer.max_epochs=1")
    folder = here / "runs/array/mine.yaml/seed_5"
    assert (folder / "done").is_file()
    records = [json.loads(path.read_text()) for path in sorted(folder.rglob("results.json"))]
    assert [(record["seed"], record["epochs"], list(record["evaluation"])) for record in records] == [
        (5, 1, ["val"]),
        (5, 1, ["test"]),
    ]
    assert "is done" in shell(here, *script)
    (folder / "done").unlink()  # as if its time had been over after the first epoch
    shell(here, *script, "--trainer.max_epochs=2")
    epochs = {json.loads(path.read_text())["epochs"] for path in folder.rglob("results.json")}
    assert epochs == {1, 2}
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "2 presets × 2 seeds are tasks 0 to 3; give `--array=0-3`" in done.stderr


@pytest.mark.parametrize("script", sorted(CLUSTER.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_sound(script):
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


def test_fit_test_and_predict_on_two_processes(here, python):
    model = ("--model=RepresentationModule", "--model.backbone=SmallCNN", "--data=DigitsLT", "--data.batch_size=64")
    quiet = ("--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu", "--trainer.precision=32-true", *TWO)
    command = [python, "-m", "lt_lightning"]
    shell(here, *command, "fit", *model, *quiet, "--trainer.max_epochs=1", "--trainer.default_root_dir=out")
    checkpoint = "out/RepresentationModule/version_0/checkpoints/last.ckpt"
    shell(here, *command, "test", *model, *quiet, f"--ckpt_path={checkpoint}")
    tested = results(here / "runs/RepresentationModule/version_0")
    assert tested["evaluation"]["test"]["per_class"]["total"] == [50] * 10
    shell(here, *command, "predict", *model, *quiet, f"--ckpt_path={checkpoint}", "--data.eval_batch_size=33")
    lines = (here / "runs/RepresentationModule/version_1/predictions.csv").read_text().splitlines()[1:]
    assert [int(line.split(",")[0]) for line in lines] == list(range(500))
    right = sum(line.split(",")[1] == line.split(",")[2] for line in lines)
    assert right / 500 == pytest.approx(tested["evaluation"]["test"]["accuracy"]["micro"])


def test_class_means_on_two_processes(here, stage1, python):
    model = ("--model=RetrainModule", "--model.backbone=SmallCNN", "--model.backbone.num_features=8")
    head = ("--model.head=NCMHead", "--model.head.centre=true", f"--model.checkpoint={stage1}")
    options = ("--data=DigitsLT", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false")
    printed, counts = [], []
    for number, devices in enumerate((("--trainer.devices=1",), TWO)):
        command = [python, "-m", "lt_lightning", "test", *model, *head, *options, *devices]
        printed.append(shell(here, *command))
        record = results(here / f"runs/RetrainModule/version_{number}")
        counts.append(record["evaluation"]["test"]["per_class"]["correct"])
    assert [text.count("NCMHead made from the features of 276 training images") for text in printed] == [1, 1]
    assert counts[0] == counts[1]

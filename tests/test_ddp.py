"""Two processes give what one gives: commands on two CPU processes, however these are started.

Most of the time of a process goes into importing torch and Lightning, so that commands share processes where they can.
"""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from short_runs import BACKBONE, TINY

from lt_lightning import cli
from lt_lightning.callbacks.averaging import TRAINING_WEIGHTS

TWO = ("--trainer.devices=2", "--trainer.strategy=ddp")

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


def losses_of_epochs(path: Path) -> list[float]:
    with (path / "metrics.csv").open(newline="") as file:
        return [float(found) for row in csv.DictReader(file) if (found := row["train/loss_epoch"])]


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
    weighted = {
        "loss": {"class_path": "ClassBalancedLoss", "init_args": {"kind": "softmax"}},
        "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01, "weight_decay": 0.1}},
    }
    content = {
        "output": "runs/two",
        "trainer": {"accelerator": "cpu", "enable_progress_bar": False, "precision": "32-true"},
        "data": {"class_path": "DigitsLT", "init_args": data},
        "stage1": {
            "model": {"class_path": "RepresentationModule", "init_args": {"backbone": BACKBONE}},
            "trainer": {"max_epochs": 1, "callbacks": [average, {"class_path": "per_process.PerProcess"}]},
        },
        "stage2": {
            "weighted": {
                "model": retrain(**weighted),
                "trainer": {"max_epochs": 2, "callbacks": [average, {"class_path": "LearningProperty"}]},
            },
            "tau_norm": {"model": retrain(head="TauNormHead")},
        },
    }
    (here / "two.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return here


def test_pipeline_on_two_processes(plan):
    printed = shell(plan, sys.executable, "-m", "lt_lightning", "pipeline", "-c", "two.yaml", *TWO)
    assert printed.count("written to") == 1  # one process speaks
    assert [path.name for path in (plan / "runs/two").iterdir()] == ["version_0"]  # the other made no folder of its own
    folder = plan / "runs/two/version_0"
    assert results(folder)["environment"]["processes"] == 2
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
    one = ("--trainer.devices=1", "--trainer.strategy=auto")
    cli.main(["fit", "-c", str(folder / "weighted/config.yaml"), *one])
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
    records = [results(path) for path in (folder / "weighted", single)]
    for key in ("correct", "total"):
        of_two, of_one = (record["evaluation"]["val"]["per_class"][key] for record in records)
        assert of_two == of_one
    of_two, of_one = (record["diagnostics"]["learning_property"] for record in records)
    assert of_two["bias"] == of_one["bias"] == {"trains": True, "weight_decay": 0.1}
    assert of_two["residual"] == pytest.approx(of_one["residual"], rel=1e-4, abs=1e-6)
    of_two, of_one = (losses_of_epochs(path) for path in (folder / "weighted", single))
    assert len(of_two) == 2
    assert of_two == pytest.approx(of_one, rel=1e-4)


# -- one command after another -----------------------------------------------------------------------------------------

# As in a script of one's own: Lightning starts the second process, which does the same.
IN_TURN = """
import contextlib, json, os, sys
from lt_lightning import cli

for words in json.loads(sys.argv[1]):
    cli.main(words)
    if os.environ["LOCAL_RANK"] == "0":
        print("END", flush=True)

rank = os.environ["LOCAL_RANK"]
with open(f"refused_{rank}.txt", "w") as said, contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
    cli.main([*words, f"--data.root={rank}", "--output=others.csv"])
"""


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory, stage1):
    """A folder in which two processes have trained, tested and predicted, and what each command has printed."""
    here = tmp_path_factory.mktemp("in_turn")
    (here / "photos").mkdir()
    Image.new("L", (8, 8), 7).save(here / "photos/00.png")
    for rank in "01":
        (here / rank).mkdir()
        Image.new("L", (8, 8), 7).save(here / rank / f"of_{rank}.png")
    (here / "script.py").write_text(IN_TURN)
    model = ("--model=RepresentationModule", *TINY, *TWO)
    trained = "--ckpt_path=out/RepresentationModule/version_0/checkpoints/last.ckpt"
    photos = ("--data=PredictFolder", "--data.root=photos", "--data.num_workers=0", "--top_k=1")
    commands = {
        "fit": ["fit", *model, "--trainer.max_epochs=1", "--trainer.default_root_dir=out"],
        "test": ["test", *model, trained],
        "predict": ["predict", *model, trained, "--data.eval_batch_size=33", "--temperature=auto"],
        "class means": ["test", *class_means(stage1), *TWO],
        "one image": ["predict", trained, *photos, "--output=photos.csv", *TINY[4:], *TWO],
    }
    *printed, rest = shell(here, sys.executable, "script.py", json.dumps([*commands.values()])).split("END\n")
    assert rest == ""  # the other process says nothing
    return here, dict(zip(commands, printed, strict=True))


def class_means(stage1):
    """The options of a head that is made from the features of all training images."""
    head = ("--model.head=NCMHead", "--model.head.centre=true", f"--model.checkpoint={stage1}")
    return "--model=RetrainModule", *head, *TINY


def test_every_image_is_tested_and_predicted_once(in_turn):
    runs = in_turn[0] / "runs/RepresentationModule"
    tested = results(runs / "version_0")
    assert tested["environment"]["processes"] == 2
    assert tested["evaluation"]["test"]["per_class"]["total"] == [50] * 10
    lines = (runs / "version_1/predictions.csv").read_text().splitlines()[1:]
    assert [int(line.split(",")[0]) for line in lines] == list(range(500))
    right = sum(line.split(",")[1] == line.split(",")[2] for line in lines)
    assert right / 500 == pytest.approx(tested["evaluation"]["test"]["accuracy"]["micro"])


def test_class_means_are_those_of_one_process(in_turn, here, stage1, capsys):
    cli.main(["test", *class_means(stage1), "--trainer.devices=1"])
    for printed in (in_turn[1]["class means"], capsys.readouterr().out):
        assert printed.count("NCMHead made from the features of 276 training images") == 1
    two, one = (results(folder / "runs/RetrainModule/version_0") for folder in (in_turn[0], here))
    assert (two["environment"]["processes"], one["environment"]["processes"]) == (2, 1)
    correct = [record["evaluation"]["test"]["per_class"]["correct"] for record in (two, one)]
    assert correct[0] == correct[1]


def test_a_temperature_is_fitted_on_the_images_of_all_processes(in_turn, here, capsys):
    trained = f"--ckpt_path={in_turn[0] / 'out/RepresentationModule/version_0/checkpoints/last.ckpt'}"
    cli.main(["predict", "--model=RepresentationModule", *TINY, trained, "--temperature=auto", "--trainer.devices=1"])
    said = [
        re.findall(r"temperature (\S+), fitted on (\d+) validation images", printed)
        for printed in (in_turn[1]["predict"], capsys.readouterr().out)
    ]
    ((two, images),), ((one, of_one),) = said
    assert images == of_one == "200"
    assert float(two) == pytest.approx(float(one), rel=1e-3)


def test_a_process_without_an_image_comes_to_the_end(in_turn):
    folder, printed = in_turn
    assert printed["one image"].count("1 predictions written to") == 1
    header, row = (folder / "photos.csv").read_text().splitlines()
    assert header.split(",")[0] == "path"
    assert row.split(",")[0] == "00.png"


def test_processes_with_other_images_than_the_first_are_refused_by_all(in_turn):
    for rank in range(2):
        said = (in_turn[0] / f"refused_{rank}.txt").read_text()
        assert re.search(
            r"error: `data` holds other images for process 1 \(.*\) than for process 0 \(.*\): others of test;", said
        )
    assert not (in_turn[0] / "others.csv").exists()


# -- on a cluster ------------------------------------------------------------------------------------------------------

CLUSTER = Path(__file__).resolve().parents[1] / "configs/cluster"


def test_the_torchrun_script(plan, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for option in ("NPROC", "NNODES", "HEAD", "RUN_ID"):
        monkeypatch.delenv(option, raising=False)
    printed = shell(plan, "bash", str(CLUSTER / "torchrun.sh"), "pipeline", "-c", "two.yaml")
    assert printed.count("written to") == 1
    assert [path.name for path in (plan / "runs/two").iterdir()] == ["version_0"]
    folder = plan / "runs/two/version_0"
    record = results(folder / "stage1")
    assert record["environment"]["processes"] == 2
    assert record["evaluation"]["val"]["per_class"]["total"] == [20] * 10
    assert results(folder / "tau_norm")["evaluation"]["test"]["per_class"]["total"] == [50] * 10
    monkeypatch.setenv("NNODES", "2")
    done = subprocess.run(
        ["bash", CLUSTER / "torchrun.sh", "fit"], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr.startswith("torchrun.sh: error: `HEAD` is not set")) == (2, True)

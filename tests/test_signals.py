"""SIGTERM ends a command, to one of two processes both; a job whose time is over is put back wherever it is."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_pipeline
import torch
import yaml
from lightning.pytorch import Callback

from lt_lightning.errors import UsageError
from lt_lightning.main import main

pytestmark = pytest.mark.slow

TWO = ("--trainer.devices=2", "--trainer.strategy=ddp")
SIGNALLED = """
import os, signal
from pathlib import Path
from lightning.pytorch import Callback

class Signalled(Callback):
    \"\"\"Gets a signal once, in one process, in the second epoch of training or as a test begins.\"\"\"

    def __init__(self, rank: int, training: bool = True, by: str = "SIGTERM"):
        self.rank, self.training, self.by = rank, training, by

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if self.training and trainer.current_epoch == batch_idx == 1:
            self.get(trainer)

    def on_test_batch_start(self, trainer, *_):
        if not self.training:
            self.get(trainer)

    def get(self, trainer):
        if trainer.global_rank == self.rank and not Path("signalled").exists():
            Path("signalled").touch()
            os.kill(os.getpid(), getattr(signal, self.by))
"""


@pytest.fixture
def run(here):
    """A command on two processes in the current folder, which ends within two minutes."""
    (here / "signalled.py").write_text(SIGNALLED)
    strange = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
    environment = {name: value for name, value in os.environ.items() if name not in strange}

    def command(*arguments):
        words = [sys.executable, "-m", "lt_lightning", *arguments]
        return subprocess.run(words, cwd=here, env=environment, capture_output=True, text=True, timeout=300)

    return command


@pytest.mark.parametrize("rank", [0, 1])
def test_training_ends_in_both(here, run, tiny, rank):
    callback = ("--trainer.callbacks=signalled.Signalled", f"--trainer.callbacks.rank={rank}")
    done = run(*tiny("fit", "RepresentationModule", *TWO, "--trainer.max_epochs=30", *callback))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "checkpoints/last.ckpt` holds the last epoch that was saved;" in done.stderr
    (last,) = here.rglob("last.ckpt")
    assert torch.load(last, weights_only=True)["epoch"] < 10


def test_the_loss_of_one_process_is_a_sentence(here, run, tiny):
    """As where the system ends one for want of memory."""
    callback = (
        "--trainer.callbacks=signalled.Signalled",
        "--trainer.callbacks.rank=1",
        "--trainer.callbacks.by=SIGKILL",
    )
    done = run(*tiny("fit", "RepresentationModule", *TWO, "--trainer.max_epochs=30", *callback))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "lt-lightning: error: Another process of this run has ended" in done.stderr
    assert "checkpoints/last.ckpt` holds the last epoch that was saved;" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pipeline_goes_on_from_there(here, run):
    def stage(kind, epochs, **training):
        init_args = {"backbone": {"class_path": "SmallCNN", "init_args": {"num_features": 8}}}
        return {"model": {"class_path": kind, "init_args": init_args}, "trainer": {"max_epochs": epochs, **training}}

    signalled = {"class_path": "signalled.Signalled", "init_args": {"rank": 0}}
    plan = {
        "output": "runs/two",
        "trainer": {"accelerator": "cpu", "devices": 2, "strategy": "ddp", "enable_progress_bar": False},
        "data": {"class_path": "DigitsLT", "init_args": {"batch_size": 64}},
        "stage1": stage("RepresentationModule", 1),
        "stage2": {"linear": stage("RetrainModule", 8, callbacks=[signalled])},
    }
    (here / "two.yaml").write_text(yaml.safe_dump(plan))
    done = run("pipeline", "-c", "two.yaml")
    folder = here / "runs/two/version_0"
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"`lt-lightning pipeline --resume {folder}` goes on with it" in done.stderr
    assert list(json.loads((folder / "unfinished.json").read_text())["stages"]) == ["stage1"]
    done = run("pipeline", "--resume", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"stage1 of {folder}: finished before" in done.stdout
    stages = json.loads((folder / "results.json").read_text())["stages"]
    assert {name: row["epochs"] for name, row in stages.items()} == {"stage1": 1, "linear": 8}


def test_an_evaluation_ends_at_once(here, run, stage1):
    callback = ("--trainer.callbacks=signalled.Signalled", "--trainer.callbacks.rank=0")
    options = (*callback, "--trainer.callbacks.training=false", "--trainer.enable_progress_bar=false")
    done = run("test", f"--ckpt_path={stage1}", "--data=DigitsLT", "--trainer.accelerator=cpu", *TWO, *options)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "lt-lightning: error: Interrupted" in done.stderr
    assert not list(here.rglob("results.json"))
    assert "no results are written; run the same command again." in done.stderr


class InEvaluation(Callback):
    """The signal comes as one process evaluates."""

    def on_test_batch_start(self, *_):
        os.kill(os.getpid(), signal.SIGTERM)

    def on_validation_batch_start(self, *_):
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("command", ["test", "validate"])
def test_an_evaluation_of_one_process_ends_too(here, tiny, stage1, command):
    """A Trainer would note the signal, and end with a table and status 0."""
    words = tiny(command, "RepresentationModule", f"--ckpt_path={stage1}")
    with pytest.raises(UsageError, match=r"^Interrupted: no results are written; run the same command again\.$"):
        main([*words, f"--trainer.callbacks+={__name__}.InEvaluation"])
    assert not list(here.rglob("results.json"))


class AsItEnds(Callback):
    """The signal comes when training has ended: in a Trainer's teardown, or before our own callback hears of it."""

    def __init__(self, number: int, early: bool = False):
        self.number = number
        self.early = early

    def on_train_end(self, *_):
        if self.early:
            os.kill(os.getpid(), self.number)

    def teardown(self, trainer, *_, **__):
        if not self.early:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_as_a_trainer_ends_is_heeded_too(here, tiny, number, early):
    """A Trainer would note the one, and go on, and come to an error of its own by the other."""
    words = tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", f"--trainer.callbacks+={__name__}.AsItEnds")
    with pytest.raises(UsageError, match=r"^Interrupted: `[^`]*last\.ckpt` holds the last epoch that was saved; "):
        main([*words, f"--trainer.callbacks.number={int(number)}", f"--trainer.callbacks.early={early}"])


MADE_LATER = """
import os, signal
from pathlib import Path
from lightning.pytorch import Callback

class MadeLater(Callback):
    \"\"\"Once stage 1 is over, one process gets the signal as this is made for the next stage.\"\"\"

    def __init__(self):
        if Path("runs/two/version_0/stage1/results.json").exists():
            if os.environ.get("LOCAL_RANK", "0") == "0":
                os.kill(os.getpid(), signal.SIGTERM)

    def setup(self, trainer, *_, **__):
        Path(f"process{trainer.global_rank}").write_text(str(os.getpid()))
"""


def test_between_the_stages_of_a_pipeline_it_ends_both(here, run):
    (here / "made_later.py").write_text(MADE_LATER)
    words = tiny_pipeline.write(here, lort=tiny_pipeline.retrain(loss="LORTLoss"))
    plan = yaml.safe_load((here / "tiny.yaml").read_text())
    plan |= {"output": "runs/two", "trainer": {**plan["trainer"], "devices": 2, "strategy": "ddp"}}
    for stage in (plan["stage1"], plan["stage2"]["lort"]):
        stage["trainer"] |= {"max_epochs": 1, "callbacks": [{"class_path": "made_later.MadeLater"}]}
    (here / "tiny.yaml").write_text(yaml.safe_dump(plan))
    done = run(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "lt-lightning: error: Interrupted: what has been trained so far is kept;" in done.stderr
    other = Path(f"/proc/{(here / 'process1').read_text()}")
    until = time.monotonic() + 10  # it was killed, which takes a moment
    while other.exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not other.exists()


JOB = {"SLURM_NTASKS": "1", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "mine", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
TIME_IS_OVER = """
import os, signal
from pathlib import Path
from lightning.pytorch import Callback

class TimeIsOver(Callback):
    \"\"\"The signal comes once: when this is made while a file is there, or at a hook.\"\"\"

    def __init__(self, at: str):
        if "/" in at:
            if list(Path().glob(at)):
                self.come()
        else:
            setattr(self, at, lambda *_, **__: self.come())

    def come(self):
        if not Path("came").exists():
            Path("came").touch()
            os.kill(os.getpid(), signal.SIGUSR1)
"""
SCONTROL = """#!/bin/sh
echo "$@" >> asked
"""


@pytest.fixture
def in_job(here):
    """A command in a process of its own, in a job of one task; what SLURM is asked is in the file ``asked``."""
    (here / "time_is_over.py").write_text(TIME_IS_OVER)
    (here / "bin").mkdir()
    (here / "bin/scontrol").write_text(SCONTROL)
    (here / "bin/scontrol").chmod(0o755)

    def command(*arguments):
        environment = os.environ | JOB | {"PATH": f"{here / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        words = [sys.executable, "-m", "lt_lightning", *arguments]
        return subprocess.run(words, cwd=here, env=environment, capture_output=True, text=True, timeout=300)

    return command


@pytest.mark.parametrize(("at", "step"), [("./*.py", None), ("on_fit_start", 1), ("on_train_end", 5)])
def test_a_job_is_put_back_also_where_its_trainer_does_not_train(here, in_job, tiny, at, step):
    """Before training has begun there is nothing to save; once it has ended it is not to be repeated."""
    callback = ("--trainer.callbacks=time_is_over.TimeIsOver", f"--trainer.callbacks.at={at}")
    done = in_job(*tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", *callback))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (here / "asked").read_text() == "requeue 7\n"
    saved = [torch.load(path, weights_only=True)["global_step"] for path in here.rglob("hpc_ckpt_*.ckpt")]
    assert saved == ([] if step is None else [step])


def test_a_job_that_has_done_its_training_is_not_put_back(here, in_job, tiny):
    callback = ("--trainer.callbacks=time_is_over.TimeIsOver", "--trainer.callbacks.at=teardown")
    done = in_job(*tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", *callback))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (here / "came").exists()
    assert not (here / "asked").exists()


def test_a_job_is_put_back_between_the_stages_of_a_pipeline(here, in_job):
    words = tiny_pipeline.write(here, lort=tiny_pipeline.retrain(loss="LORTLoss"))
    plan = yaml.safe_load((here / "tiny.yaml").read_text())
    at = {"at": "runs/tiny/version_0/stage1/results.json"}
    plan["stage2"]["lort"]["trainer"]["callbacks"] = [{"class_path": "time_is_over.TimeIsOver", "init_args": at}]
    (here / "tiny.yaml").write_text(yaml.safe_dump(plan))
    done = in_job(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (here / "came").exists()
    assert (here / "asked").read_text() == "requeue 7\n"
    assert not list(here.rglob("hpc_ckpt_*"))


def test_a_job_that_is_not_to_be_put_back_is_not(here, in_job, tiny):
    """As Lightning has it, the signal then means nothing in particular."""
    callback = ("--trainer.callbacks=time_is_over.TimeIsOver", "--trainer.callbacks.at=on_train_start")
    plugin = "lightning.pytorch.plugins.environments.SLURMEnvironment"
    options = (f"--trainer.plugins={plugin}", "--trainer.plugins.auto_requeue=false", *callback)
    done = in_job(*tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", *options))
    assert done.returncode == -signal.SIGUSR1, done.stdout + done.stderr
    assert not (here / "asked").exists()

"""Jobs that SLURM puts back into its queue."""

import json
import os
import shutil
import signal

import pytest
import torch
from lightning.pytorch import Callback

from lt_lightning.errors import UsageError
from lt_lightning.main import LTCLI, main


@pytest.fixture
def job(here, monkeypatch):
    """The current folder, in a job of one task."""
    for name, value in {"NTASKS": "1", "JOB_ID": "7", "JOB_NAME": "mine", "PROCID": "0", "LOCALID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setattr("lightning.fabric.plugins.environments.slurm.shutil.which", lambda _: None)
    return here


def epochs(here):
    (path,) = here.rglob("results.json")
    record = json.loads(path.read_text())
    return record["epochs"], record["steps"]


def test_what_another_job_saved_in_the_current_folder_is_none_of_this_one(job, tiny, stage1):
    """Lightning goes on from any ``hpc_ckpt_*.ckpt`` that it finds, without being asked to."""
    shutil.copy(stage1, job / "hpc_ckpt_1.ckpt")  # two epochs
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1"))
    assert epochs(job) == (1, 5)


def test_tasks_that_nobody_laid_out_on_nodes_are_one_sentence(job, tiny, monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with pytest.raises(UsageError, match=r"^You set `--ntasks=2` .* Use `--ntasks-per-node=2` instead\.$"):
        main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1"))
    assert not list(job.rglob("version_*"))


def test_a_job_that_was_put_back_goes_on(job, tiny, stage1):
    folder = job / "runs" / "RepresentationModule" / "slurm_7"
    folder.mkdir(parents=True)
    shutil.copy(stage1, folder / "hpc_ckpt_1.ckpt")
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=3"))
    assert epochs(job) == (3, 15)


def test_stages_of_a_pipeline_have_folders_of_their_own(job):
    trainer = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False}
    config = {"model": {"class_path": "RepresentationModule", "init_args": {"backbone": "SmallCNN"}}}
    stage = LTCLI(config | {"trainer": trainer, "data": "DigitsLT"}, run=False, folder=job / "version_0" / "stage1")
    assert stage.trainer.default_root_dir == str(job / "version_0" / "stage1")


def test_a_job_that_was_put_back_goes_on_from_its_own_and_not_from_where_it_began(job, tiny, stage1, capsys):
    folder = job / "runs" / "RepresentationModule" / "slurm_7"
    begun = tiny("fit", "RepresentationModule", f"--ckpt_path={stage1}")
    main([*begun, "--trainer.max_epochs=3"])
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(next(job.rglob("last.ckpt")), folder / "hpc_ckpt_1.ckpt")  # three epochs, of which it began with two
    capsys.readouterr()
    shutil.rmtree(job / "runs" / "RepresentationModule" / "version_0")
    main([*begun, "--trainer.max_epochs=4"])
    assert "going on with what this job saved, instead of `ckpt_path`" in capsys.readouterr().out
    (path,) = job.rglob("results.json")
    assert json.loads(path.read_text())["started_from"]["path"].endswith("slurm_7/hpc_ckpt_1.ckpt")
    assert epochs(job) == (4, 20)


@pytest.mark.parametrize("count", [None, "1"])
def test_in_a_folder_of_the_users_a_job_goes_on_once_it_was_put_back(job, tiny, stage1, monkeypatch, count):
    shutil.copy(stage1, job / "start.ckpt")
    shutil.copy(stage1, job / "hpc_ckpt_1.ckpt")
    os.utime(job / "start.ckpt", (1, 1))
    if count is not None:
        monkeypatch.setenv("SLURM_RESTART_COUNT", count)
    options = ("--ckpt_path=start.ckpt", "--trainer.max_epochs=3", f"--trainer.default_root_dir={job}")
    main(tiny("fit", "RepresentationModule", *options))
    (path,) = job.rglob("results.json")
    began = json.loads(path.read_text())["started_from"]["path"]
    assert began.endswith("start.ckpt" if count is None else "hpc_ckpt_1.ckpt")


def test_what_a_job_saved_before_the_checkpoint_that_it_is_given_is_left(job, tiny, stage1, monkeypatch):
    """As by a script that names the newest, of a job that was put back twice and failed on a node the second time."""
    shutil.copy(stage1, job / "hpc_ckpt_1.ckpt")
    shutil.copy(stage1, job / "newest.ckpt")
    os.utime(job / "hpc_ckpt_1.ckpt", (1, 1))
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    options = ("--ckpt_path=newest.ckpt", "--trainer.max_epochs=3", f"--trainer.default_root_dir={job}")
    main(tiny("fit", "RepresentationModule", *options))
    (path,) = job.rglob("results.json")
    assert json.loads(path.read_text())["started_from"]["path"].endswith("newest.ckpt")


class TimeIsOver(Callback):
    """The signal comes right after a step of the optimiser, before its batch is counted."""

    def on_train_start(self, trainer, pl_module):
        (optimizer,) = trainer.optimizers
        optimizer.register_step_post_hook(lambda *_: trainer.global_step == 6 and os.kill(os.getpid(), signal.SIGUSR1))


def test_a_signal_within_a_batch_waits_for_its_end(job, tiny, monkeypatch):
    """So that the job that goes on shows each batch once: both end with the same weights."""
    monkeypatch.setattr("lightning.pytorch.trainer.connectors.signal_connector.call", lambda _: 0)
    options = tiny("fit", "RepresentationModule", "--trainer.max_epochs=3")
    main([*options, f"--trainer.callbacks+={__name__}.TimeIsOver"])
    (saved,) = job.rglob("hpc_ckpt_1.ckpt")
    assert torch.load(saved, weights_only=True)["global_step"] == 7
    main(options)
    whole, resumed = (torch.load(path, weights_only=True) for path in sorted(job.rglob("last.ckpt")))
    assert whole["global_step"] == resumed["global_step"] == 15
    assert all(torch.equal(whole["state_dict"][key], value) for key, value in resumed["state_dict"].items())


class TimeIsOverBetweenBatches(Callback):
    """The signal comes when of the batches of a step the first has been shown."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == batch_idx == 1:
            os.kill(os.getpid(), signal.SIGUSR1)


def test_a_signal_between_batches_of_one_step_waits_for_the_step(job, tiny, monkeypatch):
    """No checkpoint holds the gradients that the first batch has left."""
    monkeypatch.setattr("lightning.pytorch.trainer.connectors.signal_connector.call", lambda _: 0)
    options = tiny("fit", "RepresentationModule", "--trainer.max_epochs=3", "--trainer.accumulate_grad_batches=2")
    main([*options, f"--trainer.callbacks+={__name__}.TimeIsOverBetweenBatches"])
    (saved,) = job.rglob("hpc_ckpt_1.ckpt")
    assert torch.load(saved, weights_only=True)["global_step"] == 4
    main(options)
    whole, resumed = (torch.load(path, weights_only=True) for path in sorted(job.rglob("last.ckpt")))
    assert whole["global_step"] == resumed["global_step"] == 9
    assert all(torch.equal(whole["state_dict"][key], value) for key, value in resumed["state_dict"].items())


class Skips(Callback):
    """The signal comes in a batch after which the module leaves out the rest of the epoch."""

    def on_train_start(self, trainer, pl_module):
        def start(batch, batch_idx):
            if batch_idx == 2:
                os.kill(os.getpid(), signal.SIGUSR1)
                return -1
            return None

        pl_module.on_train_batch_start = start


def test_a_signal_in_a_batch_that_has_no_end_waits_for_the_epochs(job, tiny, monkeypatch):
    monkeypatch.setattr("lightning.pytorch.trainer.connectors.signal_connector.call", lambda _: 0)
    options = ("--trainer.max_epochs=1", f"--trainer.callbacks+={__name__}.Skips")
    main(tiny("fit", "RepresentationModule", *options))
    (saved,) = job.rglob("hpc_ckpt_1.ckpt")
    assert torch.load(saved, weights_only=True)["global_step"] == 2

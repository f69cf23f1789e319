"""Jobs that SLURM puts back into its queue."""

import json
import shutil

import pytest

from lt_lightning.main import LTCLI, main
from lt_lightning.slurm import never_requeue


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


def test_a_job_that_was_put_back_goes_on(job, tiny, stage1):
    folder = job / "runs" / "RepresentationModule" / "slurm_7"
    folder.mkdir(parents=True)
    shutil.copy(stage1, folder / "hpc_ckpt_1.ckpt")
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=3"))
    assert epochs(job) == (3, 15)


def test_stages_of_a_pipeline_have_folders_of_their_own_and_are_not_put_back(job):
    trainer = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False}
    config = {"model": {"class_path": "RepresentationModule", "init_args": {"backbone": "SmallCNN"}}}
    stage = LTCLI(config | {"trainer": trainer, "data": "DigitsLT"}, run=False, folder=job / "version_0" / "stage1")
    environment = stage.trainer._accelerator_connector.cluster_environment
    assert environment.auto_requeue
    never_requeue(stage.trainer)
    assert not environment.auto_requeue
    assert stage.trainer.default_root_dir == str(job / "version_0" / "stage1")

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

TASK = {"NTASKS": "1", "JOB_ID": "7", "JOB_NAME": "mine", "PROCID": "0", "LOCALID": "0"}


@pytest.fixture
def job(here, monkeypatch):
    """The current folder, in a job of one task."""
    for name, value in TASK.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setattr("lightning.fabric.plugins.environments.slurm.shutil.which", lambda _: None)
    return here


@pytest.fixture
def put_back(monkeypatch):
    """What SLURM is asked to do."""
    asked = []
    monkeypatch.setattr(
        "lightning.pytorch.trainer.connectors.signal_connector.call", lambda words: asked.append(words) or 0
    )
    return asked


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
    folder = job / "runs" / "RepresentationModule" / "slurm_7" / "seed_0"
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
    folder = job / "runs" / "RepresentationModule" / "slurm_7" / "seed_0"
    begun = tiny("fit", "RepresentationModule", f"--ckpt_path={stage1}")
    main([*begun, "--trainer.max_epochs=3"])
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(next(job.rglob("last.ckpt")), folder / "hpc_ckpt_1.ckpt")  # three epochs, of which it began with two
    capsys.readouterr()
    shutil.rmtree(job / "runs" / "RepresentationModule" / "version_0")
    main([*begun, "--trainer.max_epochs=4"])
    assert "going on with what this job saved, instead of `ckpt_path`" in capsys.readouterr().out
    (path,) = job.rglob("results.json")
    assert json.loads(path.read_text())["started_from"]["path"].endswith("slurm_7/seed_0/hpc_ckpt_1.ckpt")
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


def test_what_a_job_saved_is_removed_when_training_has_come_past_it(job, tiny, stage1):
    folder = job / "runs" / "RepresentationModule" / "slurm_7" / "seed_0"
    folder.mkdir(parents=True)
    saved = shutil.copy(stage1, folder / "hpc_ckpt_1.ckpt")
    os.utime(saved, (1, 1))
    main(tiny("fit", "RepresentationModule", f"--ckpt_path={stage1}", "--trainer.max_epochs=3"))
    assert not saved.exists()


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


class TimeIsOverInEvaluation(Callback):
    """The signal comes in a validation of an epoch, or in the only one of another command."""

    def __init__(self, epoch: int = 0):
        self.epoch = epoch

    def on_validation_batch_start(self, trainer, *_):
        if not trainer.sanity_checking and trainer.current_epoch == self.epoch:
            os.kill(os.getpid(), signal.SIGUSR1)

    def on_test_batch_start(self, *_):
        os.kill(os.getpid(), signal.SIGUSR1)

    def on_predict_batch_start(self, *_):
        os.kill(os.getpid(), signal.SIGUSR1)


@pytest.mark.parametrize("command", ["test", "validate", "predict"])
def test_a_job_that_evaluates_is_put_back_without_saving(job, tiny, stage1, put_back, command):
    """Trained weights with counts of steps that begin at 0 would be trained once more."""
    main(tiny(command, "RepresentationModule", f"--ckpt_path={stage1}", f"--trainer.callbacks+={INTERRUPTED}"))
    assert ["scontrol", "requeue", "7"] in put_back
    assert not list(job.rglob("*.ckpt"))


INTERRUPTED = f"{__name__}.TimeIsOverInEvaluation"


@pytest.mark.parametrize("options", [("--ckpt_path=start.ckpt",), ()])
def test_what_was_saved_during_a_test_is_no_beginning_of_training(job, tiny, stage1, options):
    contents = torch.load(stage1, weights_only=True) | {"global_step": 0, "optimizer_states": []}
    folder = job / "runs" / "RepresentationModule" / "slurm_7" / "seed_0"
    folder.mkdir(parents=True)
    torch.save(contents, job / "start.ckpt" if options else folder / "hpc_ckpt_1.ckpt")
    with pytest.raises(UsageError, match=r"ckpt' holds weights trained for 2 epochs, but no state of training"):
        main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=3", *options))


STOPS_EARLY = (
    "--trainer.callbacks+=EarlyStopping",
    "--trainer.callbacks.monitor=val/all",
    "--trainer.callbacks.mode=max",
)


@pytest.mark.parametrize("batch_size", [64, 4096])
def test_a_signal_within_a_validation_waits_for_its_end(job, tiny, put_back, batch_size):
    """Also where each batch is its epoch's last, after which there is always one."""
    options = tiny("fit", "RepresentationModule", "--trainer.max_epochs=3", f"--data.batch_size={batch_size}")
    options = [*options, "--trainer.log_every_n_steps=1", *STOPS_EARLY]
    main([*options, f"--trainer.callbacks+={INTERRUPTED}", "--trainer.callbacks.epoch=1"])
    (saved,) = job.rglob("hpc_ckpt_1.ckpt")
    contents = torch.load(saved, weights_only=True)
    assert contents["global_step"] == (10 if batch_size == 64 else 2)
    assert contents["lt_lightning"]["epochs"] == 2
    main(options)
    whole, resumed = (torch.load(path, weights_only=True) for path in sorted(job.rglob("last.ckpt")))
    assert whole["global_step"] == resumed["global_step"] == (15 if batch_size == 64 else 3)
    assert all(torch.equal(whole["state_dict"][key], value) for key, value in resumed["state_dict"].items())
    (stopping,) = (key for key in whole["callbacks"] if key.startswith("EarlyStopping"))
    assert whole["callbacks"][stopping] == resumed["callbacks"][stopping]
    first, second = (json.loads(path.read_text()) for path in sorted(job.rglob("results.json")))
    assert first["evaluation"] == second["evaluation"] != {}


def test_a_signal_within_the_last_validation_waits_for_the_end_of_training(job, tiny, put_back):
    """So that its figures are written; the job that goes on finds that nothing is left to train."""
    options = tiny("fit", "RepresentationModule", "--trainer.max_epochs=1")
    main([*options, f"--trainer.callbacks+={INTERRUPTED}"])
    assert len(put_back) == 1
    (path,) = job.rglob("results.json")
    assert list(json.loads(path.read_text())["evaluation"]) == ["val"]
    (saved,) = job.rglob("hpc_ckpt_1.ckpt")
    with pytest.warns(UserWarning, match="nothing was left to train"):
        main(options)
    assert not saved.exists()


class TimeIsOverInTheSanityCheck(Callback):
    """The signal comes before training begins."""

    def on_validation_batch_start(self, trainer, *_):
        if trainer.sanity_checking:
            os.kill(os.getpid(), signal.SIGUSR1)


def test_a_signal_before_training_waits_for_the_first_step(job, tiny, put_back):
    callback = f"--trainer.callbacks+={__name__}.TimeIsOverInTheSanityCheck"
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", "--trainer.num_sanity_val_steps=1", callback))
    (saved,) = job.rglob("hpc_ckpt_*.ckpt")
    assert torch.load(saved, weights_only=True)["global_step"] == 1


def test_runs_of_one_job_do_not_begin_with_each_others_weights(job, tiny, put_back, monkeypatch):
    """``fit --seed_everything 0; fit --seed_everything 1``, put back in the first."""

    def fit(seed, *more):
        main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=2", f"--seed_everything={seed}", *more))

    fit(0, f"--trainer.callbacks+={__name__}.TimeIsOver")
    shutil.rmtree(job / "runs" / "RepresentationModule" / "version_0")
    (saved,) = job.rglob("hpc_ckpt_1.ckpt")
    shutil.copy(saved, job)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    fit(1)
    assert saved.exists()
    fit(0)
    assert not saved.exists()
    records = [json.loads(path.read_text()) for path in sorted(job.rglob("results.json"))]
    assert [(record["seed"], record["started_from"] is None) for record in records] == [(1, True), (0, False)]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--seed_everything=1",), r"is of a run with `seed_everything` 0, and this one has 1; give each run of a job"),
        (("--model.flip_average=true",), r"is of another run \(`model.flip_average` False, here True\)"),
    ],
)
def test_what_another_run_has_saved_in_a_folder_of_the_users_is_refused(job, tiny, put_back, options, sentence):
    begun = tiny("fit", "RepresentationModule", "--trainer.max_epochs=3", f"--trainer.default_root_dir={job}")
    main([*begun, f"--trainer.callbacks+={__name__}.TimeIsOver"])
    assert (job / "hpc_ckpt_1.ckpt").is_file()
    with pytest.raises(UsageError, match=r"hpc_ckpt_1\.ckpt'.*" + sentence):
        main([*begun, *options])

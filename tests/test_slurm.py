"""Jobs that SLURM puts back into its queue."""

import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback

from lt_lightning.errors import UsageError
from lt_lightning.main import LTCLI, main
from lt_lightning.slurm import put_back as slurm_put_back
from lt_lightning.slurm import saved_in

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
    for place in ("lightning.pytorch.trainer.connectors.signal_connector", "lt_lightning.slurm"):
        monkeypatch.setattr(f"{place}.call", lambda words: asked.append(words) or 0)
    return asked


def time_is_over():
    """What SLURM sends; not to the job that goes on, whose options are the same."""
    if not any(Path().rglob("hpc_ckpt_*")):
        os.kill(os.getpid(), signal.SIGUSR1)


@pytest.mark.skipif(os.name == "nt", reason="a script")
def test_a_job_is_put_back_by_its_name_or_else_that_is_said(job, monkeypatch):
    (job / "scontrol").write_text('#!/bin/sh\necho "$@" >> asked\nexit ${STATUS:-0}\n')
    (job / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(job), prepend=os.pathsep)
    slurm_put_back()
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "5")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    slurm_put_back()
    assert (job / "asked").read_text() == "requeue 7\nrequeue 5_2\n"
    monkeypatch.setenv("STATUS", "3")
    with pytest.warns(UserWarning, match=r"^`scontrol requeue 5_2` has failed with 3, so the job is not put back"):
        slurm_put_back()
    (job / "scontrol").unlink()
    with pytest.warns(UserWarning, match=r"`scontrol requeue 5_2` has failed with .*No such file"):
        slurm_put_back()


class TimeIsOver(Callback):
    """The signal comes right after a step of the optimiser, before its batch is counted."""

    def __init__(self, step: int = 6):
        self.step = step

    def on_train_start(self, trainer, pl_module):
        (optimizer,) = trainer.optimizers
        optimizer.register_step_post_hook(lambda *_: trainer.global_step == self.step and time_is_over())


TIME_IS_OVER = f"--trainer.callbacks+={__name__}.TimeIsOver"


@pytest.fixture
def interrupted(job, put_back):
    """Has a command's time be over, as if it had left nothing else; gives what it has saved."""

    def run(words):
        main(words)
        (saved,) = job.rglob("hpc_ckpt_1.ckpt")
        (folder,) = job.rglob("version_0")
        shutil.rmtree(folder)
        return saved

    return run


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


def test_a_job_that_was_put_back_goes_on(job, tiny, interrupted):
    options = tiny("fit", "RepresentationModule", "--trainer.max_epochs=3", TIME_IS_OVER)
    saved = interrupted(options)
    folder = saved.relative_to(job / "runs" / "RepresentationModule" / "slurm_7").parent
    assert re.fullmatch("seed_0-[0-9a-f]{8}", str(folder))
    main(options)
    assert epochs(job) == (3, 15)
    (path,) = job.rglob("results.json")
    assert Path(json.loads(path.read_text())["started_from"]["path"]) == saved.relative_to(job)


FIXED = ("--trainer.logger=CSVLogger", "--trainer.logger.save_dir=mine", "--trainer.logger.version=0")


@pytest.mark.filterwarnings("ignore:.* directory .* exists and is not empty")
def test_a_job_that_was_put_back_goes_on_in_a_folder_of_a_fixed_version(job, tiny, interrupted):
    options = tiny("fit", "RepresentationModule", "--trainer.max_epochs=3", TIME_IS_OVER, *FIXED)
    interrupted(options)
    kept = job / "mine" / "lightning_logs" / "version_0" / "checkpoints"
    kept.mkdir(parents=True)
    (kept / "last.ckpt").touch()
    main(options)
    assert epochs(job) == (3, 15)


@pytest.mark.filterwarnings("ignore:.* directory .* exists and is not empty")
def test_only_a_job_that_was_put_back_trains_again_in_a_folder_of_a_fixed_version(job, tiny, monkeypatch):
    """As after a node has failed: nothing was saved as the job's time was over."""
    options = tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", *FIXED)
    main(options)
    with pytest.raises(UsageError, match="of an earlier run"):
        main(options)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    main(options)


def test_the_tenth_file_of_a_job_comes_after_its_ninth(tmp_path):
    for number in (10, 9, 1):
        (tmp_path / f"hpc_ckpt_{number}.ckpt").touch()
    assert [path.stem for path in saved_in(tmp_path)] == ["hpc_ckpt_1", "hpc_ckpt_9", "hpc_ckpt_10"]


def test_stages_of_a_pipeline_have_folders_of_their_own(job):
    trainer = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False}
    config = {"model": {"class_path": "RepresentationModule", "init_args": {"backbone": "SmallCNN"}}}
    stage = LTCLI(config | {"trainer": trainer, "data": "DigitsLT"}, run=False, folder=job / "version_0" / "stage1")
    assert stage.trainer.default_root_dir == str(job / "version_0" / "stage1")


def test_a_job_that_was_put_back_goes_on_from_its_own_and_not_from_where_it_began(
    job, tiny, stage1, interrupted, capsys
):
    options = ("--trainer.max_epochs=4", TIME_IS_OVER, "--trainer.callbacks.step=12")  # it began after ten
    options = tiny("fit", "RepresentationModule", f"--ckpt_path={stage1}", *options)
    saved = interrupted(options)
    capsys.readouterr()
    main(options)
    assert "going on with what this job saved, instead of `ckpt_path`" in capsys.readouterr().out
    (path,) = job.rglob("results.json")
    assert Path(json.loads(path.read_text())["started_from"]["path"]) == saved.relative_to(job)
    assert epochs(job) == (4, 20)


@pytest.mark.parametrize("count", [None, "1"])
def test_in_a_folder_of_the_users_a_job_goes_on_once_it_was_put_back(
    job, tiny, stage1, interrupted, monkeypatch, count
):
    options = ("--trainer.max_epochs=3", f"--trainer.default_root_dir={job}", TIME_IS_OVER)
    options = tiny("fit", "RepresentationModule", *options)
    interrupted(options)
    shutil.copy(stage1, job / "start.ckpt")
    os.utime(job / "start.ckpt", (1, 1))
    if count is not None:
        monkeypatch.setenv("SLURM_RESTART_COUNT", count)
    main([*options, "--ckpt_path=start.ckpt"])
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


@pytest.mark.filterwarnings("ignore:.*`data.batch_size` 32:UserWarning")
@pytest.mark.parametrize(("more", "left"), [((), False), (("--data.batch_size=32",), True)])
def test_what_a_job_saved_is_removed_when_its_own_training_has_come_past_it(job, tiny, stage1, interrupted, more, left):
    options = ("--trainer.max_epochs=3", f"--trainer.default_root_dir={job}", TIME_IS_OVER)
    options = tiny("fit", "RepresentationModule", *options)
    saved = interrupted(options)
    os.utime(saved, (1, 1))
    main([*options, f"--ckpt_path={stage1}", *more])
    assert saved.exists() == left


def same_but_for_the_interruption(job, steps):
    """Whether the job that went on has ended as the one that did not stop."""
    whole, resumed = (torch.load(path, weights_only=True) for path in sorted(job.rglob("last.ckpt")))
    assert whole["global_step"] == resumed["global_step"] == steps
    assert all(torch.equal(whole["state_dict"][key], value) for key, value in resumed["state_dict"].items())
    (stopping,) = [key for key in whole["callbacks"] if key.startswith("EarlyStopping")] or [None]
    assert whole["callbacks"].get(stopping) == resumed["callbacks"].get(stopping)


def test_a_signal_within_a_batch_waits_for_its_end(job, tiny, put_back):
    """So that the job that goes on shows each batch once: both end with the same weights."""
    options = tiny("fit", "RepresentationModule", "--trainer.max_epochs=3", TIME_IS_OVER)
    main(options)
    (saved,) = job.rglob("hpc_ckpt_1.ckpt")
    assert torch.load(saved, weights_only=True)["global_step"] == 7
    main(options)
    same_but_for_the_interruption(job, 15)


class TimeIsOverBetweenBatches(Callback):
    """The signal comes when of the batches of a step the first has been shown."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == batch_idx == 1:
            time_is_over()


def test_a_signal_between_batches_of_one_step_waits_for_the_step(job, tiny, put_back):
    """No checkpoint holds the gradients that the first batch has left."""
    callback = f"--trainer.callbacks+={__name__}.TimeIsOverBetweenBatches"
    options = ("--trainer.max_epochs=3", "--trainer.accumulate_grad_batches=2", callback)
    options = tiny("fit", "RepresentationModule", *options)
    main(options)
    (saved,) = job.rglob("hpc_ckpt_1.ckpt")
    assert torch.load(saved, weights_only=True)["global_step"] == 4
    main(options)
    same_but_for_the_interruption(job, 9)


class TimeIsOverTwice(Callback):
    """The signal comes again after the job was to be put back, as where that has failed."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch < 2 and batch_idx == 1 and "SLURM_RESTART_COUNT" not in os.environ:
            os.kill(os.getpid(), signal.SIGUSR1)


def test_a_second_signal_is_heeded_too(job, tiny, put_back, monkeypatch):
    callback = f"--trainer.callbacks+={__name__}.TimeIsOverTwice"
    options = tiny("fit", "RepresentationModule", "--trainer.max_epochs=3", callback)
    main(options)
    assert put_back == [["scontrol", "requeue", "7"]] * 2
    saved = sorted(job.rglob("hpc_ckpt_*.ckpt"))
    assert [torch.load(path, weights_only=True)["global_step"] for path in saved] == [2, 7]
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    main(options)
    same_but_for_the_interruption(job, 15)
    assert not list(job.rglob("hpc_ckpt_*"))


class Skips(Callback):
    """The signal comes in a batch after which the module leaves out the rest of the epoch."""

    def on_train_start(self, trainer, pl_module):
        def start(batch, batch_idx):
            if batch_idx == 2:
                time_is_over()
                return -1
            return None

        pl_module.on_train_batch_start = start


def test_a_signal_in_a_batch_that_has_no_end_waits_for_the_epochs(job, tiny, put_back):
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
            time_is_over()

    def on_test_batch_start(self, *_):
        time_is_over()

    def on_predict_batch_start(self, *_):
        time_is_over()


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
    torch.save(contents, job / ("start.ckpt" if options else "hpc_ckpt_1.ckpt"))
    with pytest.raises(UsageError, match=r"ckpt' holds weights trained for 2 epochs, but no state of training"):
        main(
            tiny("fit", "RepresentationModule", *options, "--trainer.max_epochs=3", f"--trainer.default_root_dir={job}")
        )


def test_what_a_job_has_saved_is_not_evaluated_unasked(job, tiny, stage1):
    torch.save(torch.load(stage1, weights_only=True), job / "hpc_ckpt_1.ckpt")
    with pytest.raises(UsageError, match=r"hpc_ckpt_1\.ckpt'.* is of a run with other settings"):
        main(tiny("test", "RetrainModule", f"--model.checkpoint={stage1}", f"--trainer.default_root_dir={job}"))


STOPS_EARLY = (
    "--trainer.callbacks+=EarlyStopping",
    "--trainer.callbacks.monitor=val/all",
    "--trainer.callbacks.mode=max",
)
EVERY_FOUR = ("--trainer.val_check_interval=4", "--trainer.check_val_every_n_epoch=null")


@pytest.mark.parametrize("batch_size", [64, 4096])
def test_a_signal_within_a_validation_waits_for_its_end(job, tiny, put_back, batch_size):
    """Also where each batch is its epoch's last, after which there is always one."""
    options = tiny("fit", "RepresentationModule", "--trainer.max_epochs=3", f"--data.batch_size={batch_size}")
    callback = (f"--trainer.callbacks+={INTERRUPTED}", "--trainer.callbacks.epoch=1")
    options = [*options, "--trainer.log_every_n_steps=1", *STOPS_EARLY, *callback]
    main(options)
    (saved,) = job.rglob("hpc_ckpt_1.ckpt")
    contents = torch.load(saved, weights_only=True)
    assert contents["global_step"] == (10 if batch_size == 64 else 2)
    assert contents["lt_lightning"]["epochs"] == 2
    main(options)
    same_but_for_the_interruption(job, 15 if batch_size == 64 else 3)
    first, second = (json.loads(path.read_text()) for path in sorted(job.rglob("results.json")))
    assert first["evaluation"] == second["evaluation"] != {}


@pytest.mark.parametrize(
    ("interval", "step"), [(("--trainer.val_check_interval=2",), 7), (EVERY_FOUR, 8)], ids=["of the epoch", "of all"]
)
def test_a_signal_before_a_validation_within_an_epoch_waits_for_its_end(job, tiny, put_back, interval, step):
    """What goes on from its batch would leave it out."""
    options = ("--trainer.max_epochs=3", "--trainer.log_every_n_steps=1", *interval, *STOPS_EARLY)
    callback = ("--trainer.callbacks.patience=100", TIME_IS_OVER, f"--trainer.callbacks.step={step - 1}")
    options = tiny("fit", "RepresentationModule", *options, *callback)
    main(options)
    (saved,) = job.rglob("hpc_ckpt_1.ckpt")
    assert torch.load(saved, weights_only=True)["global_step"] == step + 1
    main(options)
    same_but_for_the_interruption(job, 15)


def test_a_signal_within_the_last_validation_waits_for_the_end_of_training(job, tiny, put_back):
    """So that its figures are written; the job that goes on finds that nothing is left to train."""
    callback = f"--trainer.callbacks+={INTERRUPTED}"
    options = tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", callback)
    main(options)
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
            time_is_over()


def test_a_signal_before_training_waits_for_the_first_step(job, tiny, put_back):
    callback = f"--trainer.callbacks+={__name__}.TimeIsOverInTheSanityCheck"
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", "--trainer.num_sanity_val_steps=1", callback))
    (saved,) = job.rglob("hpc_ckpt_*.ckpt")
    assert torch.load(saved, weights_only=True)["global_step"] == 1


@pytest.mark.parametrize(
    "other", ["--seed_everything=1", "--data.sampler=ClassBalancedSampler", "--data.batch_size=32"]
)
def test_runs_of_one_job_do_not_begin_with_each_others_weights(job, tiny, interrupted, monkeypatch, other):
    """``fit; fit --seed_everything 1``, put back in the first."""
    first = tiny("fit", "RepresentationModule", "--trainer.max_epochs=2", TIME_IS_OVER)
    saved = interrupted(first)
    shutil.copy(saved, job)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    main([*first, other])
    assert saved.exists()
    main(first)
    assert not saved.exists()
    records = [json.loads(path.read_text()) for path in sorted(job.rglob("results.json"))]
    assert [record["started_from"] is None for record in records] == [True, False]
    assert records[0]["seed"] == int(other == "--seed_everything=1")


@pytest.mark.parametrize("other", ["--seed_everything=1", "--model.flip_average=true", "--data.batch_size=32"])
def test_what_another_run_has_saved_in_a_folder_of_the_users_is_refused(job, tiny, put_back, other):
    begun = ("--trainer.max_epochs=3", f"--trainer.default_root_dir={job}", TIME_IS_OVER)
    begun = tiny("fit", "RepresentationModule", *begun)
    main(begun)
    sentence = "is of a run with other settings, seed, data and length of training included; give each run of a job"
    with pytest.raises(UsageError, match=r"hpc_ckpt_1\.ckpt'.*" + sentence):
        main([*begun, other])
    assert (job / "hpc_ckpt_1.ckpt").is_file()

"""A pipeline that goes on after an interruption."""

import csv
import errno
import json
import os
import signal
from pathlib import Path

import pytest
import torch
import yaml
from filelock import FileLock
from lightning.pytorch import Callback

from lt_lightning import pipeline
from lt_lightning.errors import UsageError
from lt_lightning.pipeline import progress
from lt_lightning.results import sha256_of

BACKBONE = {"class_path": "SmallCNN", "init_args": {"num_features": 8}}


class Stops(Callback):
    """Interrupts once, at ``hook``, when ``epoch`` epochs have ended."""

    def __init__(self, hook: str, epoch: int = 0, by: str = "SIGINT") -> None:
        def stop(trainer, *_) -> None:
            if trainer.current_epoch == epoch and not Path(by).exists():
                Path(by).touch()
                os.kill(os.getpid(), getattr(signal, by))

        setattr(self, hook, stop)


class Notes(Callback):
    """Has something to say when training ends."""

    def __init__(self) -> None:
        self.diagnostics = {}

    def on_train_end(self, *_) -> None:
        self.diagnostics["noted"] = 1


def stops(*arguments):
    return {"class_path": f"{__name__}.Stops", "init_args": dict(zip(("hook", "epoch", "by"), arguments, strict=False))}


def stage(kind, epochs, *callbacks, **init_args):
    model = {"class_path": kind, "init_args": {"backbone": BACKBONE, **init_args}}
    return {"model": model, "trainer": {"max_epochs": epochs, "log_every_n_steps": 1, "callbacks": list(callbacks)}}


def write(here, stage1=(), lort=(), tau_norm=()):
    """A plan of three stages, with callbacks of theirs."""
    plan = {
        "output": "runs/tiny",
        "trainer": {"accelerator": "cpu", "enable_progress_bar": False, "precision": "32-true"},
        "data": {"class_path": "DigitsLT", "init_args": {"batch_size": 64}},
        "stage1": stage("RepresentationModule", 3, *stage1),
        "stage2": {
            "lort": stage("RetrainModule", 2, *lort, loss="LORTLoss"),
            "tau_norm": stage("RetrainModule", 1, *tau_norm, head="TauNormHead"),
        },
    }
    (here / "tiny.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    return ["pipeline", "-c", "tiny.yaml"]


def figures(folder):
    """What does not depend on when a stage ran: accuracies, classifiers, what was logged."""
    record = json.loads((folder / "results.json").read_text())
    timeless = ("val", "test", "epochs", "selection", "augmentation", "group_sizes")
    rows = {name: {key: row[key] for key in timeless} for name, row in record["stages"].items()}
    hashes = record["data"]["hashes"]
    weights = {
        name: torch.load(folder / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"]["head.weight"]
        for name in ("stage1", "lort")
    }
    logged = {}
    for name in weights:
        with (folder / name / "metrics.csv").open(newline="") as file:
            logged[name] = list(csv.DictReader(file))
    return record["preset"], record["selection"], list(rows), rows, hashes, weights, logged


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The figures of a run that nobody interrupts."""
    here = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        pipeline.main(write(here))
    return figures(here / "runs/tiny/version_0")


def same(one, other):
    assert one[:5] == other[:5]
    assert all(torch.equal(weight, other[5][name]) for name, weight in one[5].items())
    for name, rows in one[6].items():
        assert [row for row in rows if row in other[6][name]] == other[6][name]
        trained = [row["step"] for row in rows if row["train/loss"]]
        assert trained == sorted(set(trained), key=int)


@pytest.mark.parametrize(
    ("place", "callback", "finished"),
    [
        ("stage1", stops("on_train_batch_end", 1), []),
        ("stage1", stops("on_train_start", 0), []),
        ("stage1", stops("on_test_start", 3), []),
        ("lort", stops("on_train_epoch_start", 1, "SIGTERM"), ["stage1"]),
        ("tau_norm", stops("on_validation_start"), ["stage1", "lort"]),
    ],
    ids=lambda value: value["init_args"]["hook"] if isinstance(value, dict) else None,
)
def test_it_goes_on_to_the_same_figures(here, whole, capsys, place, callback, finished):
    arguments = write(here, **{place: [callback]})
    folder = here / "runs/tiny/version_0"
    sentence = rf"^Interrupted: what has been trained so far is kept; `lt-lightning pipeline --resume {folder}` goes on"
    with pytest.raises(UsageError, match=sentence):
        pipeline.main(arguments)
    assert list(json.loads((folder / "unfinished.json").read_text())["stages"]) == finished
    assert not (folder / "results.json").exists()
    before = {name: sha256_of(folder / name / "checkpoints/last.ckpt") for name in finished}
    if (logged := folder / place / "metrics.csv").is_file():
        with logged.open("a") as file:
            file.write("1")  # as of a process that ended while it wrote
    capsys.readouterr()
    pipeline.main(["pipeline", "--resume", str(folder)])
    printed = capsys.readouterr().out
    assert (f"{', '.join(finished)} of {folder}: finished before" in printed) == bool(finished)
    assert {name: sha256_of(folder / name / "checkpoints/last.ckpt") for name in finished} == before
    assert not (folder / "unfinished.json").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["version_0"]
    same(figures(folder), whole)


def test_what_stopped_early_is_tested_and_no_more(here):
    """Also in a folder that has been moved: the record is that of the training."""
    early = {"class_path": "EarlyStopping", "init_args": {"monitor": "val/all", "mode": "max", "stopping_threshold": 0}}
    with pytest.raises(UsageError, match="Interrupted"):
        pipeline.main(write(here, lort=[early, {"class_path": f"{__name__}.Notes"}, stops("on_test_start", 1)]))
    folder = (here / "runs/tiny/version_0").rename(here / "moved")
    weights, trained = (
        sha256_of(folder / "lort/checkpoints/last.ckpt"),
        json.loads((folder / "lort/results.json").read_text()),
    )
    pipeline.main(["pipeline", "--resume", "moved/"])
    assert sha256_of(folder / "lort/checkpoints/last.ckpt") == weights
    rows = json.loads((folder / "results.json").read_text())["stages"]
    assert [row["folder"] for row in rows.values()] == [str(folder / name) for name in rows]
    assert (rows["lort"]["epochs"], rows["lort"]["training_seconds"]) == (1, None)
    assert rows["stage1"]["training_seconds"] > 0
    assert rows["lort"]["selection"] == trained["selection"]
    assert rows["lort"]["val"] == trained["evaluation"]["val"]["accuracy"]
    own = json.loads((folder / "lort/results.json").read_text())
    assert own["diagnostics"] == {"noted": 1}
    assert own["seconds"].pop("test") > 0
    for key in ("seconds", "started_from", "sampler", "steps", "epochs", "training_images_per_second"):
        assert own[key] == trained[key]
    assert set(own["evaluation"]) == {"val", "test"}


def test_a_job_that_slurm_puts_back_goes_on(here, whole, monkeypatch):
    """From the middle of an epoch, where Lightning has saved."""
    for name, value in {"NTASKS": "1", "JOB_ID": "7", "JOB_NAME": "mine", "PROCID": "0", "LOCALID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setattr("lightning.fabric.plugins.environments.slurm.shutil.which", lambda _: None)
    monkeypatch.setattr("lightning.pytorch.trainer.connectors.signal_connector.call", lambda _: 0)
    # SLURM ends a job that is put back.
    arguments = write(here, [stops("on_train_batch_end", 1, "SIGUSR1"), stops("on_validation_start", 1)])
    folder = here / "runs/tiny/version_0"
    with pytest.raises(UsageError, match="Interrupted"):
        pipeline.main(arguments)
    assert (folder / "stage1/hpc_ckpt_1.ckpt").is_file()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    pipeline.main(arguments)
    assert [path.name for path in folder.parent.iterdir()] == ["version_0"]
    assert not list(folder.rglob("hpc_ckpt_*"))
    same(figures(folder), whole)
    pipeline.main(arguments)  # put back once more, by hand: what has finished is no part of the job any more
    assert sorted(path.name for path in folder.parent.iterdir()) == ["version_0", "version_1"]


def test_another_jobs_pipeline_is_left_alone(here, monkeypatch):
    arguments = write(here, stage1=[stops("on_train_start")])
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with pytest.raises(UsageError, match="Interrupted"):
        pipeline.main(arguments)
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    pipeline.main(arguments)
    assert (here / "runs/tiny/version_0/unfinished.json").is_file()
    assert (here / "runs/tiny/version_1/results.json").is_file()


def test_a_job_with_several_pipelines_goes_on_with_each(here, monkeypatch):
    arguments = write(here, stage1=[stops("on_train_start")])
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with pytest.raises(UsageError, match="Interrupted"):
        pipeline.main([*arguments, "--seed_everything=1"])
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    pipeline.main(arguments)
    assert (here / "runs/tiny/version_0/unfinished.json").is_file()
    assert json.loads((here / "runs/tiny/version_1/results.json").read_text())["seed"] == 0
    pipeline.main([*arguments, "--seed_everything=1"])
    assert json.loads((here / "runs/tiny/version_0/results.json").read_text())["seed"] == 1


def test_what_has_finished_prints_its_table_again(here, capsys):
    pipeline.main(write(here))
    folder = here / "runs/tiny/version_0"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    first = capsys.readouterr().out
    pipeline.main(["pipeline", f"--resume={folder}"])
    again = capsys.readouterr().out
    assert again in first
    assert "tau_norm" in again
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.fixture
def stopped(here):
    """The folder of a pipeline that stopped before it trained."""
    with pytest.raises(UsageError, match="Interrupted"):
        pipeline.main(write(here, stage1=[stops("on_train_start")]))
    return here / "runs/tiny/version_0"


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--stage2.lort.model.loss.delta=0.5", r"`stage2\.lort\.model\.loss\.delta` is 0\.5, but 0\.98 in "),
        ("--seed_everything=3", r"`seed_everything` is 3, but 0 in "),
        ("--data.batch_size=32", r"`data\.batch_size` is 32, but 64 in "),
        ("--trainer.precision=64-true", r"`trainer\.precision` is '64-true', but '32-true' in "),
        ("--stage1.trainer.max_epochs=4", r"`stage1\.trainer\.max_epochs` is 4, but 3 in "),
    ],
)
def test_it_goes_on_with_what_it_began_with(stopped, option, sentence):
    with pytest.raises(UsageError, match=rf"{sentence}.*start a new run without `--resume`\.$"):
        pipeline.main(["pipeline", "--resume", str(stopped), option])
    assert not (stopped / "results.json").exists()


def test_the_same_plan_and_other_devices_may_be_typed(stopped, here):
    options = ["-c", "tiny.yaml", "--trainer.devices=1", "--trainer.enable_progress_bar=true", "--output=elsewhere"]
    pipeline.main(["pipeline", "--resume", str(stopped), *options])
    assert (stopped / "results.json").is_file()
    assert not (here / "elsewhere").exists()


def test_nobody_else_runs_it_meanwhile(stopped):
    with FileLock(stopped / ".pipeline.lock"), pytest.raises(UsageError, match="is being run by another process; wait"):
        pipeline.main(["pipeline", "--resume", str(stopped)])


def test_a_configuration_that_was_edited_is_another(stopped):
    path = stopped / "config.yaml"
    path.write_text(path.read_text().replace("delta: 0.98", "delta: 0.5"))
    with pytest.raises(UsageError, match=r"`stage2\.lort\.model\.loss\.delta` is 0\.5, but 0\.98 in "):
        pipeline.main(["pipeline", "--resume", str(stopped)])


def test_a_lock_is_asked_for_where_there_are_locks(tmp_path, monkeypatch):
    def refuse(number):
        def acquire(*_, **__):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(FileLock, "acquire", acquire)

    refuse(errno.ENOLCK)
    assert progress.lock(tmp_path) is None
    refuse(errno.EROFS)
    with pytest.raises(UsageError, match=r"cannot be written to \(.*Read-only file system\); a pipeline needs to\.$"):
        progress.lock(tmp_path)


def test_where_nothing_began_nothing_goes_on(here):
    write(here)
    with pytest.raises(UsageError, match=r"`resume` 'tiny\.yaml' is not the folder of a pipeline"):
        pipeline.main(["pipeline", "--resume", "tiny.yaml"])
    with pytest.raises(UsageError, match=r"`resume` 'nowhere' is not the folder of a pipeline.*give a `version_K`"):
        pipeline.main(["pipeline", "--resume=nowhere"])
    (here / "file.yaml").write_text("resume: runs/tiny/version_0")
    with pytest.raises(UsageError, match="`resume` is 'runs/tiny/version_0' in a file, but is only known on the"):
        pipeline.main(["pipeline", "-c", "tiny.yaml", "-c", "file.yaml"])


def test_notes_that_cannot_be_read_are_named(stopped):
    (stopped / "unfinished.json").write_text("{")
    with pytest.raises(UsageError, match=r"`resume`: .*unfinished\.json' cannot be read \(JSONDecodeError.*new run"):
        pipeline.main(["pipeline", "--resume", str(stopped)])

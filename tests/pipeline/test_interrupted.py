"""An interrupted stage goes on to the figures of an uninterrupted one."""

import csv
import json

import pytest
import torch
from interrupted_pipeline import stops, write
from lightning.pytorch import Callback

from lt_lightning import pipeline
from lt_lightning.errors import UsageError
from lt_lightning.results import sha256_of


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
    drafts = [folder / "stage1" / f".{name}.01ab.part" for name in ("metrics.csv", "hpc_ckpt_1.ckpt", "mine.csv")]
    drafts.append(folder / "stage1/checkpoints/.last.ckpt.01ab.part")
    drafts += [folder / "lort" / f".{name}.01ab.part" for name in ("config.yaml", "results.json")]
    drafts += [folder / f".{name}.01ab.part" for name in ("config.yaml", "results.json", "unfinished.json")]
    for draft in drafts:
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.touch()  # as of a process that was killed
    capsys.readouterr()
    pipeline.main(["pipeline", "--resume", str(folder)])
    printed = capsys.readouterr().out
    assert (f"{', '.join(finished)} of {folder}: finished before" in printed) == bool(finished)
    assert {name: sha256_of(folder / name / "checkpoints/last.ckpt") for name in finished} == before
    assert not (folder / "unfinished.json").exists()
    assert [draft.name for draft in drafts if draft.exists()] == [".mine.csv.01ab.part"]  # which others may be writing
    assert [path.name for path in folder.parent.iterdir()] == ["version_0"]
    same(figures(folder), whole)


def test_an_epoch_that_was_saved_but_not_logged_is_named(here):
    with pytest.raises(UsageError, match="Interrupted"):
        pipeline.main(write(here, stage1=[stops("on_train_epoch_start", 2)]))
    folder = here / "runs/tiny/version_0"
    logged = folder / "stage1/metrics.csv"
    with logged.open(newline="") as file:
        header, *rows = csv.reader(file)
    place = header.index("train/loss_epoch")
    assert rows[-1][place]  # of the second epoch, whose checkpoint comes a moment before
    with logged.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows[:-1]])
    with pytest.warns(UserWarning, match=r"metrics\.csv lacks the loss of epoch 2: the process was ended after it had"):
        pipeline.main(["pipeline", "--resume", str(folder)])
    with logged.open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file) if row["train/loss_epoch"]] == ["0", "2"]


class Notes(Callback):
    """Has something to say when training ends."""

    def __init__(self) -> None:
        self.diagnostics = {}

    def on_train_end(self, *_) -> None:
        self.diagnostics["noted"] = 1


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

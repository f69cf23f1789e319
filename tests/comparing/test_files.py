"""A comparison's folder holds everything or is not there."""

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lt_lightning.comparing.files import write_all
from lt_lightning.comparing.outcome import NO_GAIN
from lt_lightning.errors import UsageError

pytestmark = pytest.mark.filterwarnings(
    "ignore:Stage 1 is no worse:UserWarning", "ignore:No method is better:UserWarning"
)
BACKBONE = {"class_path": "SmallCNN", "init_args": {"num_features": 8, "in_channels": 3}}


@pytest.fixture(scope="module")
def found(run):
    return run("linear", {"lr": [0.001, 0.1, 1.0]})


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_is_written_is_said(found, here):
    lines = list(write_all(found, Path("a/better"), "seeds: 0\n", BACKBONE, with_runs=True))
    assert lines[0] == "written to a/better/version_0/results.json"
    assert "better_model.pth" in lines[1]
    assert names(here / "a/better/version_0") == [
        "better.ckpt",
        "better_model.pth",
        "config.yaml",
        "predictions.npz",
        "results.json",
        "runs/linear/seed_0.ckpt",
    ]


def test_a_row_is_called_the_same_in_all_files(run, here):
    (here / "my head.yaml").write_text("head: TauNormHead\n")
    list(write_all(run("my head.yaml"), Path("better"), "", BACKBONE, with_runs=True))
    assert (here / "better/version_0/runs/myhead/seed_0.ckpt").is_file()
    with np.load(here / "better/version_0/predictions.npz") as predictions:
        rows = {key.partition(".")[0] for key in predictions}
    assert rows == {"targets", "stage1", "myhead"}


UNWRITTEN = r"`output` 'there/better' cannot be written \(No space left on device\), so nothing is kept there but "
UNMADE = r"The run's folder 'there/better/version_0' cannot be made \(No space left on device\); .* `output`"


@pytest.mark.parametrize(
    ("writer", "sentence"),
    [
        ("pathlib.Path.write_text", UNWRITTEN),
        ("numpy.savez_compressed", UNWRITTEN),
        ("pathlib.Path.mkdir", UNMADE),
    ],
)
def test_results_without_room_go_whole(found, here, monkeypatch, writer, sentence):
    (here / "there").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(writer, full)
        with pytest.raises(UsageError, match=sentence):
            list(write_all(found, Path("there/better"), "", BACKBONE))
    assert list((here / "there").iterdir()) == []


def test_an_interruption_leaves_nothing_half_written(found, here, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    (here / "better/version_0").mkdir(parents=True)  # of an earlier run
    monkeypatch.setattr("numpy.savez_compressed", stop)
    with pytest.raises(KeyboardInterrupt):
        list(write_all(found, Path("better"), "", BACKBONE))
    assert [path.name for path in (here / "better").iterdir()] == ["version_0"]


@pytest.mark.parametrize("kind", [OSError, RuntimeError])
def test_results_stay_when_the_checkpoint_has_no_room(found, here, monkeypatch, kind):
    """A full disk is no reason to try another format."""

    def crash(contents, file, **_):
        file.write(b"half")
        raise kind("No space left on device")

    monkeypatch.setattr(torch, "save", crash)
    sentence = (
        r"^`output` 'better/version_0/better_model.pth' cannot be written \(No space left on device\); make room or "
        r"choose another folder; the results are in better/version_0 all the same\.$"
    )
    with pytest.raises(UsageError, match=sentence):
        list(write_all(found, Path("better"), "", BACKBONE))
    assert names(here) == [f"better/version_0/{name}" for name in ("config.yaml", "predictions.npz", "results.json")]


def test_it_is_said_why_there_is_no_checkpoint(run, make_data, here):
    with pytest.warns(UserWarning, match="Nothing is selected"):
        found = run("crt", data=make_data(val_from="none"))
    lines = list(write_all(found, Path("better"), "", BACKBONE))
    said = (
        "no better checkpoint was written, because no winner could be selected; `--keep_runs true` writes one of each"
    )
    assert lines[1].startswith(said)
    assert names(here / "better/version_0") == ["config.yaml", "predictions.npz", "results.json"]


def test_it_is_said_as_well_where_every_method_has_a_file(run, make_data, here):
    with pytest.warns(UserWarning, match="Nothing is selected"):
        found = run("crt", data=make_data(val_from="none"))
    lines = list(write_all(found, Path("better"), "", BACKBONE, with_runs=True))
    assert lines[1] == "no better checkpoint was written, because no winner could be selected"
    assert lines[2].startswith("checkpoints of all methods and seeds written")


@pytest.mark.parametrize("with_runs", [False, True])
def test_a_method_that_is_no_gain_is_not_handed_back_as_better(found, here, with_runs):
    none = replace(found, winner=None, why_no_winner=NO_GAIN)
    lines = list(write_all(none, Path("better"), "", BACKBONE, with_runs))
    assert lines[1] == f"no better checkpoint was written, because {NO_GAIN}" + (
        "" if with_runs else "; `--keep_runs true` writes one of each method"
    )
    assert not any(Path(name).name.startswith("better") for name in names(here / "better/version_0"))
    assert ("runs/linear/seed_0.ckpt" in names(here / "better/version_0")) is with_runs


@pytest.mark.filterwarnings("ignore:Training of linear diverged")
def test_where_everything_diverged_that_is_the_reason(run, here):
    lines = list(write_all(run("linear", {"lr": [1e39]}), Path("better"), "", BACKBONE))
    assert lines[1].startswith("no better checkpoint was written, because every method diverged; `--keep_runs")

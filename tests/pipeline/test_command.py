"""Which pipeline a command goes on with, and which it refuses to."""

import json

import pytest
from interrupted_pipeline import stops, write

from lt_lightning import pipeline
from lt_lightning.errors import UsageError


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


def test_an_option_that_begins_like_one_that_may_differ_is_another(here, monkeypatch):
    (here / "own_labels.py").write_text(
        "from typing import Any\n"
        "from lt_lightning.data import DigitsLT\n"
        "class Labelled(DigitsLT):\n"
        "    def __init__(self, root_labels: str = 'mine', **options: Any) -> None:\n"
        "        super().__init__(**options)\n"
    )
    monkeypatch.syspath_prepend(here)
    with pytest.raises(UsageError, match="Interrupted"):
        pipeline.main([*write(here, stage1=[stops("on_train_start")]), "--data=own_labels.Labelled"])
    with pytest.raises(UsageError, match=r"`data\.root_labels` is 'others', but 'mine' in "):
        pipeline.main(["pipeline", "--resume=runs/tiny/version_0", "--data.root_labels=others"])


def test_the_same_plan_and_other_devices_may_be_typed(stopped, here):
    options = ["-c", "tiny.yaml", "--trainer.devices=1", "--trainer.enable_progress_bar=true", "--output=elsewhere"]
    pipeline.main(["pipeline", "--resume", str(stopped), *options])
    assert (stopped / "results.json").is_file()
    assert not (here / "elsewhere").exists()


def test_a_configuration_that_was_edited_is_another(stopped):
    path = stopped / "config.yaml"
    path.write_text(path.read_text().replace("delta: 0.98", "delta: 0.5"))
    with pytest.raises(UsageError, match=r"`stage2\.lort\.model\.loss\.delta` is 0\.5, but 0\.98 in "):
        pipeline.main(["pipeline", "--resume", str(stopped)])


def test_where_nothing_began_nothing_goes_on(here):
    write(here)
    with pytest.raises(UsageError, match=r"`resume` 'tiny\.yaml' is not the folder of a pipeline"):
        pipeline.main(["pipeline", "--resume", "tiny.yaml"])
    with pytest.raises(UsageError, match=r"`resume` 'nowhere' is not the folder of a pipeline.*give a `version_K`"):
        pipeline.main(["pipeline", "--resume=nowhere"])
    (here / "file.yaml").write_text("resume: runs/tiny/version_0")
    with pytest.raises(UsageError, match="`resume` is 'runs/tiny/version_0' in a file, but is only known on the"):
        pipeline.main(["pipeline", "-c", "tiny.yaml", "-c", "file.yaml"])


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

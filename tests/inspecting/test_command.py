"""The command as it is typed."""

import json

import pytest
from full_disk import output_without_room

from lt_lightning import cli
from lt_lightning.inspecting import command
from lt_lightning.inspecting.summary import summarize


def test_a_folder_is_looked_at(folder_root, here, capsys):
    arguments = ["inspect", "--data=ImageFolderLT", f"--data.root={folder_root}", "--data.num_workers=0"]
    cli.main([*arguments, "--duplicates=true", "--output=found/tail.json"])
    shown = capsys.readouterr().out
    assert "ImageFolderLT: 3 classes, imbalance ratio 4.5" in shown
    assert "note: Of 3 classes 1 without a validation image" in shown
    assert "No image is there twice." in shown
    found = json.loads((here / "found/tail.json").read_text())
    assert found["class_counts"] == [9, 4, 2]
    assert found["duplicates"] == []
    assert found["data"]["sizes"] == {"train": 15, "val": 3, "test": 6}


def test_a_preset_says_which_data(capsys):
    cli.main(["inspect", "-c", "quickstart", "--data.imbalance_ratio=20"])
    assert "DigitsLT: 10 classes, imbalance ratio 20" in capsys.readouterr().out


def test_without_looking_for_copies_nothing_is_said_of_them(here, capsys):
    cli.main(["inspect", "--data=DigitsLT", "--output=tail.json"])
    assert "twice" not in capsys.readouterr().out
    assert json.loads((here / "tail.json").read_text())["duplicates"] is None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "`--data` must be given"),
        (["--data=DigitsLT", "--output=tail.csv"], "`output` 'tail.csv' must end in .json."),
        (["--data=DigitsLT", "--output=results.json"], "`output` results.json would be taken for a run's own file"),
        (["--data=DigitsLT", "--output=there.json"], "`output` 'there.json' exists; give another name"),
        (["-c", "nodata.yaml"], "`--config` 'nodata.yaml' says nothing of `data`"),
        (["--data=DigitsLT", "--data.ratio=3"], "ratio"),
        (["--data=DigitsLT", "--data.val_per_class=null"], "`data.val_per_class` is null, which it cannot be; give a"),
        (["--data=ImageFolderLT", "--data.root=null"], "`data.root` is null"),
    ],
)
def test_bad_input_is_one_sentence(options, sentence, here, capsys):
    (here / "there.json").write_text("kept")
    (here / "nodata.yaml").write_text("model: RetrainModule\n")
    with pytest.raises(SystemExit) as stop:
        cli.main(["inspect", *options])
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err
    assert (here / "there.json").read_text() == "kept"


def test_a_file_that_appears_meanwhile_stays(here, monkeypatch, capsys):
    def summarize_beside_others(data):
        (here / "tail.json").write_text("theirs")
        return summarize(data)

    monkeypatch.setattr(command, "summarize", summarize_beside_others)
    with pytest.raises(SystemExit):
        cli.main(["inspect", "--data=DigitsLT", "--output=tail.json"])
    assert "`output` 'tail.json' already exists" in capsys.readouterr().err
    assert (here / "tail.json").read_text() == "theirs"


def test_a_file_is_replaced_on_request(here):
    (here / "there.json").write_text("old")
    cli.main(["inspect", "--data=DigitsLT", "--output=there.json", "--overwrite=true"])
    assert json.loads((here / "there.json").read_text())["class_counts"][0] == 100


def test_a_file_that_is_written_is_not_denied_though_nothing_can_be_printed(here, monkeypatch):
    monkeypatch.setattr(command, "show", lambda table: None)
    monkeypatch.setattr(command, "remarks", lambda *_: [])
    with pytest.raises(OSError, match="No space left on device"), output_without_room():
        command.main(["inspect", "--data=DigitsLT", "--output=tail.json"])
    assert (here / "tail.json").is_file()

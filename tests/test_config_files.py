"""A path in a configuration file may begin with ``~``, at any depth and for every command."""

import pytest
from jsonargparse import ArgumentParser

from lt_lightning import cli, presets
from lt_lightning.comparing import command
from lt_lightning.comparing.methods import find_methods
from lt_lightning.comparing.settings import SettingsParser
from lt_lightning.config_files import ConfigFile
from lt_lightning.main import LTCLI


@pytest.fixture(autouse=True)
def at_home(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here / "home"))
    return here / "home"


def test_values_at_any_depth(here, at_home):
    parser = ArgumentParser()
    parser.add_argument("--config", action=ConfigFile)
    parser.add_argument("--files", type=list[str])
    parser.add_argument("--options", type=dict[str, dict[str, str]])
    parser.add_argument("--nothing", type=str | None, default="something")
    (here / "these.yaml").write_text("files: [~/a, b~/c]\noptions: {one: {two: ~/d}}\nnothing: ~\n")
    found = parser.parse_args(["--config=these.yaml"])
    assert found.files == [f"{at_home}/a", "b~/c"]
    assert found.options == {"one": {"two": f"{at_home}/d"}}
    assert found.nothing is None


def test_compare(here, at_home):
    (here / "base.yaml").write_text("checkpoint: ~/model.pth\nbackbone: SmallCNN\ndata: {class_path: CIFAR10LT}\n")
    (here / "these.yaml").write_text("stack: base.yaml\noutput: ~/better\nfeatures: {cache: ~/cache}\n")
    found = command.build_parser().parse_args(["-c", "these.yaml", "--methods=lort"])
    assert (found.checkpoint, found.output) == (f"{at_home}/model.pth", f"{at_home}/better")
    assert found.features.cache == f"{at_home}/cache"


def test_fit(here, at_home):
    (here / "these.yaml").write_text(
        "trainer: {max_epochs: 1, default_root_dir: ~/runs, callbacks: [{class_path: ModelCheckpoint, "
        "init_args: {dirpath: ~/kept}}]}\n"
        "model: {class_path: RepresentationModule, init_args: {backbone: SmallCNN}}\ndata: DigitsLT\n"
    )
    made = LTCLI(["-c", "these.yaml"], run=False)
    assert made.trainer.default_root_dir == f"{at_home}/runs"
    assert f"{at_home}/kept" in {getattr(callback, "dirpath", None) for callback in made.trainer.callbacks}
    assert not (here / "~").exists()


def test_what_a_file_stacks_and_a_method_that_is_not_the_first(here, at_home):
    at_home.mkdir()
    (at_home / "base.yaml").write_text("epochs: 3\n")
    (at_home / "mine.yaml").write_text("stack: ~/base.yaml\nloss: FocalLoss\n")
    (here / "these.yaml").write_text("stack: [~/mine.yaml]\n")
    assert presets.load("these.yaml") == {"epochs": 3, "loss": "FocalLoss"}
    assert [found.name for found in find_methods("lort,~/mine.yaml", [9, 3], SettingsParser())] == ["lort", "mine"]


@pytest.mark.parametrize("command", ["export", "inspect"])
def test_commands_with_files_of_their_own(command, here, at_home, capsys):
    (here / "these.yaml").write_text(
        "checkpoint: ~/last.ckpt\noutput: ~/model.pt2\n"
        if command == "export"
        else "data: {class_path: ImageFolderLT, init_args: {root: ~/photos}}\n"
    )
    with pytest.raises(SystemExit):
        cli.main([command, "-c", "these.yaml"])
    assert str(at_home) in capsys.readouterr().err

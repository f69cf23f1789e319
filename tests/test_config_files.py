"""A path in a configuration file may begin with ``~``, at any depth and for every command; such files are UTF-8."""

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import yaml
from jsonargparse import ArgumentParser, _typehints
from lightning.pytorch import Callback

from lt_lightning import cli, presets
from lt_lightning.comparing import command
from lt_lightning.comparing.methods import find_methods
from lt_lightning.comparing.settings import SettingsParser
from lt_lightning.config_files import ConfigFile
from lt_lightning.errors import UsageError
from lt_lightning.main import LTCLI, main


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


@pytest.mark.parametrize("stacked", [False, True])
def test_text_stays_text_and_numbers_numbers(here, stacked):
    parser = ArgumentParser()
    parser.add_argument("--config", action=ConfigFile)
    parser.add_argument("--folder", type=str)
    parser.add_argument("--names", type=list[str])
    parser.add_argument("--either", type=str | float)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--anything", type=dict)
    text = (
        "folder: '1e4'\nnames: ['1e5', '2', 'no']\neither: '12e4'\nrate: 1e-3\nanything: {1: 1e-3, day: '2026-11-22'}\n"
    )
    (here / "these.yaml").write_text(text)
    (here / "those.yaml").write_text("stack: these.yaml\n")
    found = parser.parse_args([f"--config={'those' if stacked else 'these'}.yaml"])
    assert (found.folder, found.names, found.either, found.rate) == ("1e4", ["1e5", "2", "no"], "12e4", 1e-3)
    assert found.anything == {1: 1e-3, "day": "2026-11-22"}


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


@pytest.mark.parametrize("command", ["export", "probe"])
@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_a_file_that_is_not_utf8_is_named(command, encoding, here, capsys):
    (here / "these.yaml").write_text("checkpoint: Übung.ckpt\n", encoding=encoding)
    with pytest.raises(SystemExit):
        cli.main([command, "-c", "these.yaml"])
    error = capsys.readouterr().err
    assert error.startswith("lt-lightning: error: `--config` 'these.yaml' is not text in UTF-8 (")
    assert error.endswith("); save it as that.\n")


@pytest.mark.parametrize(("text", "found"), [("", "None"), ("hello", "'hello'"), ("[1]", r"\[1\]")])
def test_a_file_without_settings_is_named(text, found, here):
    (here / "these.yaml").write_text(text)
    with pytest.raises(UsageError, match=rf"`--config` 'these.yaml' holds no settings but {found}\.$"):
        LTCLI(["-c", "these.yaml"], run=False)


PRUNING = ("--trainer.callbacks+=ModelPruning", "--trainer.callbacks.pruning_fn=l1_unstructured")


def test_what_lightnings_callbacks_are_given_is_written_and_read_again(here, tiny):
    average = ("--trainer.callbacks+=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.01")
    options = ("--trainer.callbacks.swa_epoch_start=1", *PRUNING, "--trainer.max_epochs=1")
    main(tiny("fit", "RepresentationModule", *average, *options))
    folder = here / "runs" / "RepresentationModule"
    main(["fit", "-c", str(folder / "version_0" / "config.yaml")])
    first, second = ((folder / f"version_{run}" / "config.yaml").read_text() for run in (0, 1))
    assert first == second
    averaging, pruning = (one["init_args"] for one in yaml.safe_load(first)["trainer"]["callbacks"])
    assert (averaging["device"], pruning["pruning_fn"]) == ("cpu", "l1_unstructured")


class Doubling(Callback):
    """Has a default that no text stands for."""

    def __init__(self, double: Callable[[int], int] = lambda value: 2 * value):
        self.double = double


@pytest.mark.skipif(
    not hasattr(_typehints, "serialize_as_import_path"), reason="earlier versions write the name of what has none"
)
@pytest.mark.filterwarnings(r"ignore:\s*Unable to serialize instance:UserWarning")  # jsonargparse, without the key
def test_a_value_that_could_not_be_written_is_named(here, tiny):
    options = (f"--trainer.callbacks+={__name__}.Doubling", "--trainer.max_epochs=1")
    with pytest.warns(UserWarning, match=r"lacks the value of `trainer.callbacks.0.double`, which is <function Doubl"):
        main(tiny("fit", "RepresentationModule", *options))
    path = here / "runs" / "RepresentationModule" / "version_0" / "config.yaml"
    with pytest.raises(UsageError, match=r"config.yaml' lacks the value of `trainer.callbacks.0.double`, .*; give it"):
        LTCLI(["-c", str(path)], run=False)


def test_a_file_beside_a_configuration_is_found(here):
    parser = ArgumentParser()
    parser.add_argument("--config", action=ConfigFile)
    parser.add_argument("--options", type=dict[str, str], enable_path=True)
    (here / "below").mkdir()
    (here / "below" / "options.yaml").write_text("one: two\n")
    (here / "below" / "these.yaml").write_text("options: options.yaml\n")
    found = parser.parse_args(["--config=below/these.yaml"])
    assert found.options["one"] == "two"
    assert [str(path) for path in found.config] == ["below/these.yaml"]


@pytest.mark.slow
def test_the_encoding_of_the_system_is_of_no_importance(here, list_root):
    """As on Windows: neither is a file read and written by default as what it is, nor can all be printed."""
    (here / "mine.yaml").write_text(
        f"# τ\ntrainer: {{max_epochs: 1, accelerator: cpu, enable_progress_bar: false}}\n"
        f"model: {{class_path: RepresentationModule, init_args: "
        f"{{backbone: {{class_path: SmallCNN, init_args: {{num_features: 8, in_channels: 3}}}}}}}}\n"
        f"data: {{class_path: ImageListLT, init_args: {{root: {list_root}, train_list: train.txt, "
        f"test_list: test.txt, class_names: [ärger, τ, 東京], image_size: 16, num_workers: 0}}}}\n",
        encoding="utf-8",
    )
    left = here / "runs" / "mine"
    commands = [
        ["fit", "-c", "mine.yaml"],
        ["fit", "-c", str(left / "version_0" / "config.yaml")],
        ["test", "-c", "mine.yaml", "--ckpt_path", str(left / "version_1" / "checkpoints" / "last.ckpt")],
        ["report", "runs"],
    ]
    program = (
        "import json, sys; from lt_lightning import cli\n"
        "for words in json.loads(sys.argv[1]): sys.argv[1:] = words; cli.main()"
    )
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment |= {"PYTHONIOENCODING": "cp1252", "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(commands)], capture_output=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert "LinearHead + CrossEntropyLoss" in done.stdout.decode("cp1252")
    for run in ("version_0", "version_1"):
        assert "- 東京\n" in (left / run / "config.yaml").read_text(encoding="utf-8")
    record = json.loads((left / "version_2" / "results.json").read_text(encoding="utf-8"))
    assert record["class_names"] == ["ärger", "τ", "東京"]

"""Presets are found by name, and a wrong name says which are close."""

from pathlib import Path

import pytest
import yaml

from lt_lightning import presets
from lt_lightning.errors import UsageError


def test_every_preset_resolves_to_yaml_and_back():
    names = presets.names()
    assert {"quickstart", "cifar100_lt/lort", "cifar100_lt/stage1/ce", "cifar100_lt/pipeline_lort"} <= set(names)
    for name in names:
        path = presets.resolve(name)
        assert isinstance(yaml.safe_load(Path(path).read_text()), dict)
        assert presets.name_of(path) == name


def test_a_file_wins_over_a_preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").write_text("seed_everything: 1")
    assert presets.resolve("quickstart") == "quickstart"
    assert presets.name_of("quickstart") == "quickstart"


def test_unknown_preset_names_close_ones():
    with pytest.raises(
        UsageError, match=r"'cifar100_lt/lrt' is neither a file nor a preset; did you mean cifar100_lt/lort"
    ):
        presets.resolve("cifar100_lt/lrt")
    with pytest.raises(UsageError, match=r"known presets: .*quickstart"):
        presets.resolve("zzzzzz")
    with pytest.raises(UsageError, match=r"`--config` 'mine.yaml' is not a file"):
        presets.resolve("mine.yaml")


def test_a_run_is_called_after_its_last_preset(tmp_path):
    lort = presets.resolve("cifar100_lt/lort")
    mine = str(tmp_path / "mine.yaml")
    assert presets.name_among([lort, mine], "model") == "cifar100_lt/lort"
    assert presets.name_among([mine], "model") == "mine"
    assert presets.name_among([], "model") == "model"

"""The dispatcher: fast, free of torch, and one sentence per mistake."""

import subprocess
import sys

import pytest

import lt_lightning
from lt_lightning import cli
from lt_lightning.errors import UsageError


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_no_torch(option):
    done = run("-X", "importtime", "-m", "lt_lightning", option)
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "lt_lightning.cli" in imported
    heavy = ("torch", "lightning", "numpy", "jsonargparse", "yaml", "rich")
    assert not {name for name in imported if name.split(".")[0] in heavy}


def test_help_names_every_command(capsys):
    cli.main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"  {command}" in shown for command in cli.COMMANDS)
    cli.main([])
    assert capsys.readouterr().out == shown


def test_version(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out == f"lt_lightning {lt_lightning.__version__}\n"


def test_unknown_command(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["fitt"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "lt-lightning: error: `fitt` is not a command; choose one of fit, validate, test, predict, export, pipeline, "
        "compare.\n"
    )


def test_a_users_mistake_is_one_sentence(capsys, monkeypatch):
    with pytest.raises(SystemExit) as stop:
        cli.main(["fit", "-c", "cifar100_lt/lortt"])
    assert stop.value.code == 2
    assert "did you mean cifar100_lt/lort" in capsys.readouterr().err
    monkeypatch.setenv("LT_LIGHTNING_TRACEBACK", "1")
    with pytest.raises(UsageError, match="neither a file nor a preset"):
        cli.main(["fit", "-c", "cifar100_lt/lortt"])

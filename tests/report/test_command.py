"""``report`` on real runs."""

import json
import signal
import subprocess
import sys

import pytest

from lt_lightning import cli
from lt_lightning.main import main
from lt_lightning.report import command


def test_a_real_run_is_reported(here, tiny, stage1, capsys):
    main(tiny("test", "RepresentationModule", f"--ckpt_path={stage1}"))
    capsys.readouterr()
    cli.main(["report", "runs"])
    shown = capsys.readouterr().out
    assert "test, digits (276 images, 10 classes, 100 to 2; few <8, many >30)," in shown
    assert "LinearHead + CrossEntropyLoss" in shown


def test_a_saved_configuration_with_another_seed_is_the_same_experiment(here, tiny, capsys):
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1"))
    (config,) = here.rglob("config.yaml")
    main(["fit", "-c", str(config), "--seed_everything=1"])
    capsys.readouterr()
    cli.main(["report", "runs", "--split", "val", "--output", "table.json"])
    (row,) = json.loads((here / "table.json").read_text())
    assert (row["runs"], row["seeds"]) == (2, [0, 1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_command_is_one_sentence(here, tiny, stage1, capsys, monkeypatch, number):
    main(tiny("test", "RepresentationModule", f"--ckpt_path={stage1}"))
    monkeypatch.setattr(command, "write", lambda *_: signal.raise_signal(number))
    with pytest.raises(SystemExit) as stop:
        cli.main(["report", "runs", "--output=table.csv"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.endswith("Interrupted: nothing has been written; run the same command again.\n")


def test_it_imports_no_torch():
    code = "import sys; import lt_lightning.report; assert not {'torch', 'numpy', 'yaml'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

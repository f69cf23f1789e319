"""The command line of ``benchmarks/reproduce.py``."""

import json
from pathlib import Path

import pytest
import reproduce
from reproducing.outcome import Outcome

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def call(tmp_path, capsys):
    """Call it with files of its own; gives exit code, output and errors."""

    def run(*arguments):
        files = ["--page", str(tmp_path / "results.md"), "--results", str(tmp_path), "--runs", str(tmp_path / "runs")]
        code = reproduce.main([*arguments, *files])
        return code, *capsys.readouterr()

    return run


def test_the_page_alone(call, tmp_path):
    assert call("--render")[0] == 0
    assert "# The papers' tables beside ours" in (tmp_path / "results.md").read_text()


def test_without_time_nothing_is_run(call, tmp_path):
    code, said, _ = call("--table", "lgl3", "--columns", "mnist", "--budget", "0")
    assert code == 3
    assert "0 new, 0 there before" in said
    assert "left for the next call: CNN2C, LGL, mnist, seed 0" in said
    assert not (tmp_path / "runs").exists()


def test_without_data_the_reason_is_given(call, tmp_path):
    code, said, _ = call("--table", "elm1", "--rows", "CE", "--columns", "cifar10_lt_ir10", "--root", str(tmp_path))
    assert code == 4
    assert "elm1, CIFAR10-LT, ratio 10: not run: " in said


def test_rows_and_columns_are_listed(call):
    code, said, _ = call("--table", "lgl4", "--list")
    assert code == 0
    assert said == "rows: LGL; SML; LGL-INR\ncolumns: mobilenetv2; resnet18\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "`table` is not given; give one, or `--render`"),
        (["--table", "lort1", "--checkpoint", "a.pth"], "`checkpoint` and `backbone` go together"),
        (["--table", "lort1", "--seeds", "0"], "`seeds` must be at least 1, but got 0 and, of stage 1, 0"),
        (["--table", "lort1", "--rows", "PaCo"], "`rows` names 'PaCo', which this table has not"),
    ],
)
def test_mistakes_are_one_sentence(call, arguments, says):
    code, _, error = call(*arguments)
    assert code == 2
    assert says in error


def test_the_simulation_is_run_once(call, tmp_path, monkeypatch):
    calls = []

    def run(command, check):
        calls.append(command)
        (tmp_path / "lgl_inr_table1.json").write_text(
            (ROOT / "benchmarks" / "results" / "lgl_inr_table1.json").read_text()
        )

    monkeypatch.setattr(reproduce.subprocess, "run", run)
    assert call("--table", "lgl1")[1].startswith("1 new, 0 there before")
    assert call("--table", "lgl1")[1].startswith("0 new, 1 there before")
    (command,) = calls
    assert Path(command[1]).is_file()


def test_cells_without_a_sentence_are_named(call, tmp_path, monkeypatch):
    record = json.loads((ROOT / "benchmarks" / "results" / "lgl_inr_table1.json").read_text())
    environment = record["environment"]
    key = {"row": "CNN2C, LGL", "column": "mnist", "mode": "fit", "stage1": "", "stage1_seed": None, "seed": 0}
    run = {"key": key, "stage1": None, "seeds": [0], "environment": environment, "seconds": 1.0}
    run |= {"protocol": {"selection": "last epoch", "test_time_averaging": "none"}, "accuracy": {"micro": 0.9}}
    (tmp_path / "reproduce_lgl3.json").write_text(json.dumps({"table": "lgl3", "runs": [run]}))
    monkeypatch.setattr(reproduce, "run", lambda arguments: Outcome(there=1))
    code, said, _ = call("--table", "lgl3")
    assert code == 0
    assert "outside the paper's spread, without a sentence in notes.json: lgl3: CNN2C, LGL | mnist" in said

"""The plan for a machine with a GPU, as far as a machine without one can try it."""

import json
import os
import select
import shlex
from pathlib import Path

import gpu_tests
import on_a_gpu
import pytest
import reproduce
import timed_fit
import torch
from reproducing.every import FIGURES, TABLES

from lt_lightning import presets

PARTS = on_a_gpu.plan("data", 3, "bf16-mixed", "reduce-overhead")
COMMANDS = [command for commands in PARTS.values() for command in commands]


def test_what_is_listed_can_be_typed(capsys):
    assert on_a_gpu.main(["--list", "--parts", "tests", "figures"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["tests", "figures", "figures"]
    assert shlex.split(lines[1].partition("python ")[2]) == PARTS["figures"][0]


@pytest.mark.parametrize("name", sorted({command[0] for command in COMMANDS if command[0].endswith(".py")}))
def test_scripts_know_the_options(name, run_script):
    known = run_script(Path(name), "--help")
    for command in COMMANDS:
        if command[0] == name:
            assert all(f" {word}" in known for word in command if word.startswith("--"))
    assert (" --budget" in known) == (Path(name).stem in ("reproduce", "best_ablation"))


def test_tables_columns_and_presets_exist():
    for command in COMMANDS:
        if Path(command[0]).stem == "reproduce":
            asked = reproduce.build_parser().parse_args(command[1:])
            if asked.table in TABLES:
                assert TABLES[asked.table].chosen(asked.rows, asked.columns)
            else:
                assert asked.table in FIGURES
        if "--full" in command:
            assert command[command.index("--full") + 1] in presets.names()


def test_tests_that_ask_for_a_gpu_are_all_named():
    folder = Path(__file__).resolve().parents[1]
    asking = {
        file.relative_to(folder).as_posix()
        for file in folder.rglob("test_*.py")
        if 'reason="needs a ' + 'GPU"' in file.read_text()
    }
    assert asking == set(gpu_tests.FILES)


@pytest.mark.skipif(torch.cuda.is_available(), reason="it would run for hours")
def test_without_a_gpu_it_says_so(capsys):
    with pytest.raises(SystemExit) as stop:
        on_a_gpu.main([])
    assert stop.value.code == 2
    assert "torch finds no GPU here" in capsys.readouterr().err


@pytest.fixture
def pretend(monkeypatch):
    """Has a machine pretend to have a GPU, for which other parts are planned."""

    def make(parts):
        monkeypatch.setattr(on_a_gpu, "plan", lambda *_: parts)
        monkeypatch.setattr(on_a_gpu, "environment", lambda _: {"hardware": "a GPU"})
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    return make


def test_a_part_that_fails_or_is_left_over_is_named(tmp_path, pretend, capfd):
    script = tmp_path / "reproduce.py"
    script.write_text("import sys; print(sys.argv[1:], flush=True); sys.exit(int(sys.argv[1]))")
    statuses = {"good": "0", "bad": "1", "slow": "3", "partial": "4"}
    pretend({name: [[str(script), status]] for name, status in statuses.items()})
    assert on_a_gpu.main(["--budget", "5"]) == 1
    shown = capfd.readouterr().out
    assert "failed: bad\n" in shown
    assert "left for the next call: slow\n" in shown
    assert "without data for some columns: partial\n" in shown
    assert "['0', '--budget', '5.00']" in shown
    assert on_a_gpu.main(["--budget", "0"]) == 0
    assert "left for the next call: good bad slow partial" in capfd.readouterr().out


def test_what_has_a_record_of_this_gpu_is_not_repeated(tmp_path, pretend, capfd):
    script, output = tmp_path / "stage2.py", tmp_path / "found.json"
    script.write_text("print('measured', flush=True)")
    pretend({"speed": [[str(script), "--output", str(output)]]})

    def repeats(*options, **record):
        if record:
            output.write_text(json.dumps({"environment": {"hardware": record.pop("hardware")}, **record}))
        assert on_a_gpu.main(list(options)) == 0
        return "measured" in capfd.readouterr().out

    assert repeats()
    assert repeats(hardware="another GPU")
    assert repeats(hardware="a GPU", failed=["a test"])
    assert not repeats(hardware="a GPU", failed=[])
    assert repeats("--again")


def test_what_cannot_stop_itself_is_ended_with_what_it_has_started(tmp_path, pretend, capfd):
    script, pipe = tmp_path / "stage1.py", tmp_path / "pipe"
    os.mkfifo(pipe)
    child = f"exec 3> {pipe}; echo started >&3; exec sleep 600"
    script.write_text(f"import subprocess; subprocess.run({child!r}, shell=True)")
    pretend({"long": [[str(script)]], "next": [[str(script)]]})
    held = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for seconds in (0.5, 2, 8, 32):  # until it has started before it is ended
        assert on_a_gpu.main(["--budget", str(seconds / 60)]) == 0
        assert "left for the next call: long next" in capfd.readouterr().out
        if started := os.read(held, 100):
            break
    assert started == b"started\n"
    assert select.select([held], [], [], 60)[0]
    assert os.read(held, 100) == b""  # nobody has it open any more
    os.close(held)


def test_a_whole_run_is_timed_as_asked_for_and_without_a_compiler():
    plan = on_a_gpu.plan("data", 3, "32-true", "default")
    asked = [*plan["whole"], *plan["eager"]]
    assert [command[command.index("--modes") + 1] for command in asked] == ["compiled", "eager"]
    assert [command[command.index("--precisions") + 1] for command in asked] == ["32-true"] * 2
    assert on_a_gpu.plan("data", 3, "32-true", "none")["eager"] == []


def test_speed_is_measured_at_the_papers_batch_sizes():
    """Each in a command, and a record, of its own: one may be all that a budget lets through."""
    for network, preset in timed_fit.PRESETS.items():
        batch = presets.load(preset)["data"]["init_args"]["batch_size"]
        assert on_a_gpu.SETTINGS[network] == str(batch)
    records = [command[command.index("--output") + 1] for command in COMMANDS if "--output" in command]
    assert len(set(records)) == len(records)

import os
import sys

import pytest
from measuring import PINNED, in_turns, pinned, run_python, spread


def test_rounds_have_a_median_and_quartiles():
    assert spread([4.0, 1.0, 3.0, 2.0, 5.0]) == {"median": 3.0, "quartile_1": 2.0, "quartile_3": 4.0}
    assert spread([2.0]) == {"median": 2.0, "quartile_1": 2.0, "quartile_3": 2.0}


def test_candidates_take_turns_and_first_rounds_do_not_count():
    order = []
    candidates = {name: lambda name=name: order.append(name) or len(order) for name in "ab"}
    assert in_turns(candidates, 2, warm=1) == {"a": [3, 5], "b": [4, 6]}
    assert order == ["a", "b"] * 3


def test_a_script_starts_again_once(monkeypatch):
    started = []
    monkeypatch.setattr(os, "execve", lambda path, words, environment: started.append((path, words, environment)))
    monkeypatch.setattr(sys, "argv", ["script.py", "--rounds", "1"])
    for name in PINNED:
        monkeypatch.delenv(name, raising=False)
    pinned(MORE="1")
    ((path, words, environment),) = started
    assert (path, words) == (sys.executable, [sys.executable, "script.py", "--rounds", "1"])
    assert (PINNED | {"MORE": "1"}).items() <= environment.items()
    for name, value in PINNED.items():
        monkeypatch.setenv(name, value)
    pinned()
    assert len(started) == 1
    with pytest.MonkeyPatch.context() as other:
        other.setenv("MALLOC_MMAP_MAX_", "1")
        pinned()
    assert len(started) == 2


def test_a_process_finds_the_package_and_the_scripts_wherever_it_runs(monkeypatch, tmp_path):
    program = "import os, lt_lightning, measuring; print(os.environ['PYTHONPATH'], os.getcwd(), os.environ['MORE'])"
    monkeypatch.delenv("PYTHONPATH", raising=False)
    done = run_python(["-c", program], tmp_path, MORE="1")
    assert done.returncode == 0
    places, folder, more = done.stdout.split()
    assert all(places.split(os.pathsep))  # an empty one would be the current folder
    assert (folder, more) == (str(tmp_path), "1")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    assert run_python(["-c", program], MORE="").stdout.split()[0] == f"{places}{os.pathsep}elsewhere"
    assert "gone" in run_python(["-c", "raise RuntimeError('gone')"]).stderr

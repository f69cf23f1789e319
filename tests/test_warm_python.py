"""The tests' stand-in for Python does what Python does."""

import os
import signal
import subprocess
import sys

import pytest


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="here it is Python itself")
def test_it_has_imported_torch_and_is_its_own_executable(python):
    code = "import sys; print('torch' in sys.modules, sys.executable)"
    for start in (code, f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"):
        printed = subprocess.run([python, "-c", start], capture_output=True, text=True, check=True).stdout
        assert printed == f"True {python}\n"


@pytest.mark.parametrize(
    "arguments", [("-c", "CODE", "x"), ("-u", "mine.py", "y z"), ("-m", "mine", "-c"), ("-m", "nothing")]
)
def test_arguments_folder_environment_and_streams(python, here, monkeypatch, arguments):
    code = (
        "import os, sys\n"
        "print(sys.argv, sys.path[:2], os.getcwd(), os.environ.get('HERE'), __name__)\n"
        "print(sys.stdin.read(), file=sys.stderr)\n"
        "sys.exit(len(sys.argv))\n"
    )
    (here / "mine.py").write_text(code)
    monkeypatch.setenv("HERE", "ä")
    monkeypatch.setenv("PYTHONPATH", "/one")
    arguments = [code if argument == "CODE" else argument for argument in arguments]
    theirs, ours = (
        subprocess.run([program, *arguments], input="typed", capture_output=True, text=True, cwd=here, check=False)
        for program in (sys.executable, python)
    )
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)
    assert ours.stderr.split()[-1] == theirs.stderr.split()[-1]


@pytest.mark.parametrize(
    ("end", "status"),
    [("sys.exit()", 0), ("sys.exit('said')", 1), ("1 / 0", 1), ("os._exit(5)", 5), ("os.kill(os.getpid(), 9)", -9)],
)
def test_ends(python, end, status):
    code = f"import atexit, os, sys; atexit.register(print, 'done'); {end}"
    theirs, ours = (
        subprocess.run([program, "-c", code], capture_output=True, text=True, check=False)
        for program in (sys.executable, python)
    )
    assert ours.returncode == theirs.returncode == status
    assert ours.stdout == theirs.stdout
    assert ours.stderr.splitlines()[-1:] == theirs.stderr.splitlines()[-1:]


CAUGHT = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); "


@pytest.mark.parametrize(("prepare", "status"), [("", -signal.SIGTERM), (CAUGHT, 7)])
def test_signals_arrive(python, prepare, status):
    code = f"import signal, sys, time; {prepare}print('ready', flush=True); time.sleep(60)"
    with subprocess.Popen([python, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait(timeout=60) == status


def test_who_kills_it_kills_the_process_behind_it(python):
    code = "import time; print('ready', flush=True); time.sleep(60); print('late')"
    with subprocess.Popen([python, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.kill()
        assert process.stdout.read() == ""  # at an end only when the process behind it has ended

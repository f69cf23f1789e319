"""The dispatcher: fast, free of torch, and one sentence per mistake."""

import atexit
import errno
import gc
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

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
    assert max(map(len, shown.partition("examples:")[0].splitlines())) <= 80
    cli.main([])
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (
            "fit",
            "Train stage 1, or stage 2 from a checkpoint; by default in bf16-mixed where the hardware computes in it, "
            "else in 32-true.",
        ),
        ("validate", "Evaluate a checkpoint on the validation images."),
        ("test", "Evaluate a checkpoint on the test images."),
        ("predict", "Write the likeliest classes of the test images, or of a folder of images, to a file."),
        (
            "compare",
            "Try many stage-2 methods on one checkpoint, choose settings on validation images, test each once, "
            "print one table.",
        ),
        ("probe", "Give a pre-trained network a linear classifier for your classes, which stage 2 can start from."),
        ("pipeline", "Train stage 1, then any number of stage-2 methods on it; print one table."),
        ("export", "Turn a checkpoint into ONNX or a torch.export program."),
        ("report", "Put many runs into one table: mean and standard deviation over runs."),
        ("plot", "Draw the results of runs into files."),
    ],
)
def test_help_of_a_command_begins_with_what_it_does(command, what, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert " ".join(capsys.readouterr().out.split("\n\n")[1].split()) == what


def test_help_of_fit_says_what_model_and_data_are(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["__main__.py"])  # as under torchrun
    with pytest.raises(SystemExit):
        cli.main(["fit", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith("usage: lt-lightning [options] fit ")
    assert (
        "RepresentationModule for stage 1, RetrainModule for stage 2; `--model.help NAME` lists its options." in shown
    )
    assert "Training, validation and test images; `--data.help NAME`" in shown


def test_help_of_compare_says_when_a_backbone_is_needed(capsys):
    with pytest.raises(SystemExit):
        cli.main(["compare", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        "Leave it out for a checkpoint of this package, which names its own; give it for any other file. (type:"
        in shown
    )


def test_version(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out == f"lt_lightning {lt_lightning.__version__}\n"


def test_unknown_command(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["fitt"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "lt-lightning: error: `fitt` is not a command; choose one of inspect, fit, validate, test, predict, export, "
        "pipeline, compare, probe, report, plot.\n"
    )


def test_a_users_mistake_is_one_sentence(capsys, monkeypatch):
    with pytest.raises(SystemExit) as stop:
        cli.main(["fit", "-c", "cifar100_lt/lortt"])
    assert stop.value.code == 2
    assert "did you mean cifar100_lt/lort" in capsys.readouterr().err
    monkeypatch.setenv("LT_LIGHTNING_TRACEBACK", "1")
    with pytest.raises(UsageError, match="neither a file nor a preset"):
        cli.main(["fit", "-c", "cifar100_lt/lortt"])


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_while_a_command_is_imported_is_one_sentence():
    program = (
        "import os, signal, sys\n"
        "from lt_lightning import cli\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'torch':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupts())\n"
        "cli.main()\n"
    )
    done = run("-c", program, "fit")
    sentence = "lt-lightning: error: Interrupted: run the same command again.\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence)


@pytest.mark.skipif(sys.platform == "win32", reason="the current folder cannot be removed")
def test_a_current_folder_that_was_removed_is_one_sentence(tmp_path):
    program = (
        "import os, sys\n"
        "from lt_lightning import cli\n"
        f"os.chdir({str(tmp_path)!r})\n"
        f"os.rmdir({str(tmp_path)!r})\n"
        "cli.main()\n"
    )
    done = run("-c", program, "report", "runs")
    sentence = "lt-lightning: error: the current folder has been removed; change to another.\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence)


def test_ctrl_c_while_options_are_read_is_one_sentence(capsys, monkeypatch):
    def reads(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_imported", lambda place: reads)
    with pytest.raises(SystemExit) as stop:
        cli.main(["pipeline"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "lt-lightning: error: Interrupted: run the same command again.\n"
    monkeypatch.setenv("LT_LIGHTNING_TRACEBACK", "1")
    with pytest.raises(KeyboardInterrupt):
        cli.main(["pipeline"])


class Left(Exception):
    """In place of the end of the process."""


@pytest.fixture
def fit(monkeypatch):
    """Make ``lt-lightning fit`` do something else, as if it had been typed; where it leaves at once, that shows."""

    def leave(code):
        raise Left(code)

    monkeypatch.setattr(sys, "argv", ["lt-lightning", "fit", "--print_config"])
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: None)
    monkeypatch.setattr(threading, "_shutdown", lambda: None)
    return lambda command: monkeypatch.setattr(cli, "_imported", lambda place: command)


@pytest.mark.parametrize("code", [0, None])
def test_a_typed_command_that_only_shows_something_ends_at_once(fit, code):
    fit(lambda arguments: sys.exit(code))
    with pytest.raises(Left):
        cli.main()
    with pytest.raises(SystemExit):  # within somebody's Python nothing ends at once
        cli.main(["fit"])


def test_other_ends_are_ordinary(fit, monkeypatch):
    fit(lambda arguments: sys.exit(3))
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 3
    fit(lambda arguments: None)
    cli.main()

    class Closed(io.TextIOBase):
        def writable(self):
            return True

        def flush(self):
            raise BrokenPipeError

    fit(lambda arguments: sys.exit(0))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Closed())
        with pytest.raises(SystemExit):
            cli.main()


def test_what_an_output_cannot_take_costs_itself_alone():
    """Hours of training too would end in an error, where a pipe on Windows cannot take the name of a method."""
    program = (
        "import sys; from lt_lightning import cli; sys.argv[1:] = ['fit']; "
        "cli._imported = lambda place: lambda arguments: print('\\u03c4-norm \\xb1'); cli.main()"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, check=True)
    assert done.stdout.split() == [b"?-norm", b"\xb1"]


ENDING = """
import atexit, os, sys, threading, time
from lt_lightning import cli
from lt_lightning.errors import UsageError

class TakenApart:
    def __del__(self):
        print("apart", flush=True)

def work(arguments):
    global file, kept
    kept = TakenApart()
    if {joined}:
        import torch.distributed as dist
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        threading.Thread(target=open(os.pipe()[0], "rb").read, daemon=True).start()  # which waits for ever
    atexit.register(print, "late")
    file = open("file.txt", "w")
    file.write("written")
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    print("shown")
    {end}

atexit.register(print, "early")
cli._imported = lambda place: work
cli.typed()
"""


@pytest.mark.parametrize(
    ("joined", "end", "status", "apart"),
    [
        (False, "", 0, True),
        (False, "raise UsageError('no')", 2, True),
        (True, "", 0, False),
        (True, "raise UsageError('no')", 2, False),
        (True, "sys.exit(3)", 3, True),
        (False, "sys.exit(0)", 0, True),  # as a callback may
        (True, "sys.exit(0)", 0, False),
    ],
)
def test_everything_is_done_at_the_end_but_to_take_python_apart(tmp_path, joined, end, status, apart):
    """Which would abort one of several processes where a thread of Gloo still holds a tensor."""
    done = subprocess.run(
        [sys.executable, "-c", ENDING.format(joined=joined, end=end), "fit"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == status
    said = [line for line in done.stdout.splitlines() if not line.startswith("[Gloo]")]  # as earlier versions print
    assert said == ["shown", "thread", "late", "early"] + ["apart"] * apart
    assert (tmp_path / "file.txt").read_text() == "written"


def test_help_takes_nothing_apart(tmp_path):
    program = ENDING.format(joined=False, end="sys.exit(0)")
    words = [sys.executable, "-c", program, "fit", "--model.help=RetrainModule"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split() == ["shown", "thread", "late", "early"]


def test_a_module_in_the_current_folder_is_found_after_all_others(tmp_path):
    """As a console script starts, whose own folder Python puts in the first place instead."""
    script, here = tmp_path / "bin" / "command", tmp_path / "here"
    for folder in (script.parent, here):
        folder.mkdir()
    (here / "my_part.py").write_text("VALUE = 'mine'")
    (here / "json.py").write_text("raise RuntimeError('not the one of the standard library')")
    script.write_text(
        "from lt_lightning import cli\n"
        "def show(arguments):\n"
        "    import json, my_part\n"
        "    print(my_part.VALUE)\n"
        "cli._imported = lambda place: show\n"
        "cli.main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(lt_lightning.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, str(script), "fit"], cwd=here, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "mine\n"), done.stderr


def test_importing_a_command_leaves_collection_of_garbage_as_it_was():
    assert gc.isenabled()
    assert cli._imported("lt_lightning.presets:names")
    assert gc.isenabled()
    with pytest.raises(ImportError):
        cli._imported("lt_lightning.nothing:main")
    assert gc.isenabled()
    gc.disable()
    try:
        cli._imported("lt_lightning.presets:names")
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_files_in_other_folders_may_name_parts_in_the_current_one(tmp_path):
    """While jsonargparse reads a file the current folder is that file's."""
    (tmp_path / "own_loss.py").write_text(
        "from lt_lightning.losses import CrossEntropyLoss\n\n\nclass OwnLoss(CrossEntropyLoss):\n    pass\n"
    )
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans/own.yaml").write_text(
        "model: {class_path: RepresentationModule, init_args: {backbone: SmallCNN, loss: own_loss.OwnLoss}}\n"
        "data: DigitsLT\n"
    )
    command = "import sys; sys.path.remove(''); from lt_lightning.cli import main; main()"
    arguments = ["fit", "-c", "plans/own.yaml", "--print_config"]
    environment = os.environ | {"PYTHONPATH": str(Path(lt_lightning.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "own_loss.OwnLoss" in done.stdout


@pytest.mark.parametrize("where", ["full", "gone"])
def test_what_cannot_be_printed_is_one_sentence(where):
    """By itself Python tells it as it ends, over several lines, of whatever is left in its buffer."""
    program = "from lt_lightning import cli; cli._imported = lambda place: lambda arguments: print('x'); cli.main()"
    if where == "full":
        output = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, output = os.pipe()
        os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", program, "fit"], stdout=output, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(output)
    sentence = {
        "full": "No space left on device; make room there.",
        "gone": "Broken pipe; what read the output has ended, and the command with it.",
    }
    assert (done.returncode, done.stderr) == (2, f"lt-lightning: error: {sentence[where]}\n")


def test_an_error_that_may_be_a_mistake_in_code_keeps_its_traceback(monkeypatch):
    def fails(arguments):
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", "x")

    monkeypatch.setattr(cli, "_imported", lambda place: fails)
    with pytest.raises(NotADirectoryError):
        cli.main(["fit"])

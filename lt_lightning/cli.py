"""The ``lt-lightning`` command: a table of commands, each imported when called. Standard library only.

``--help`` and ``--version`` answer in milliseconds because nothing here imports torch.
"""

import atexit
import gc
import io
import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from importlib import import_module

from lt_lightning.errors import UsageError, refusal
from lt_lightning.home import expanded_option
from lt_lightning.version import __version__

# Known to type checkers by its name; importing `typing` would cost `--help` a third of its time.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import NoReturn

COMMANDS = {
    "inspect": ("lt_lightning.inspecting:main", "count the images of each class, before anything trains"),
    "fit": ("lt_lightning.main:main", "train stage 1, or stage 2 from a checkpoint"),
    "validate": ("lt_lightning.main:main", "evaluate a checkpoint on the validation images"),
    "test": ("lt_lightning.main:main", "evaluate a checkpoint on the test images"),
    "predict": ("lt_lightning.predict:main", "write the likeliest classes of images to a file"),
    "export": ("lt_lightning.export:main", "turn a checkpoint into ONNX or a torch.export program"),
    "pipeline": ("lt_lightning.pipeline:main", "train stage 1, then any number of stage-2 methods on it; one table"),
    "compare": (
        "lt_lightning.comparing.command:main",
        "try many stage-2 methods on a checkpoint you have; keep the best",
    ),
    "probe": ("lt_lightning.probing:main", "give a pre-trained network a classifier for your classes"),
    "report": ("lt_lightning.report:main", "put many runs into one table, mean ± deviation over seeds"),
    "plot": ("lt_lightning.plots:main", "draw runs: accuracy from head to tail, logits, calibration"),
}

_EXAMPLES = """
examples:
  lt-lightning pipeline -c quickstart
  lt-lightning compare --checkpoint model.pth --backbone ResNet32 --data CIFAR100LT --data.root data
  lt-lightning fit -c cifar100_lt/stage1/ce --data.root data
  lt-lightning fit -c cifar100_lt/lort --model.checkpoint last.ckpt --data.root data
  lt-lightning fit -c cifar100_lt/lort --print_config     what a preset sets, defaults included
  lt-lightning fit --model.help RetrainModule             what a class accepts
"""


_INTERRUPTED = "Interrupted: run the same command again."


def typed() -> None:
    """Run the command that a process was started for."""
    status = 0
    try:
        main()
    except SystemExit as leaving:
        if leaving.code not in (None, 0, 2):
            raise
        status = 2 if leaving.code else 0
    if _has_threads_of_gloo():
        _leave(status, after_work=True)
    sys.exit(status)


def main(argv: list[str] | None = None) -> None:
    """Run a command; a user's mistake, or what the system refuses, becomes one sentence and exit status 2.

    ``sys.argv`` stays as it is: under DDP Lightning runs it again in every process.
    """
    try:
        _run(argv)
        if sys.stdout is not None:
            sys.stdout.flush()  # else a full disk or a reader that has gone would be told by Python, as it ends
    except OSError as error:
        refused = refusal(error)
        if refused is None or os.environ.get("LT_LIGHTNING_TRACEBACK"):
            raise
        _fail(f"{refused}.")


def _run(argv: list[str] | None) -> None:
    if argv is None:
        _print_whatever_comes()
    arguments = [expanded_option(word) for word in (sys.argv[1:] if argv is None else argv)]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return
    if arguments[0] == "--version":
        print(f"lt_lightning {__version__}")
        return
    if arguments[0] not in COMMANDS:
        _fail(f"`{arguments[0]}` is not a command; choose one of {', '.join(COMMANDS)}.")
    if argv is None and (here := _current_folder()) not in sys.path:
        # Parts of one's own are found in the current folder, as by `python -m`, but come last. By its name: while a
        # file of `-c` is parsed the current folder is that file's.
        sys.path.append(here)
    try:
        with _ending_at_ctrl_c(argv is None):
            command = _imported(COMMANDS[arguments[0]][0])
        from lt_lightning.quiet import plain_warnings  # after Lightning, which has a way of its own

        with plain_warnings():
            command(arguments)
    except SystemExit as leaving:
        if argv is None and not leaving.code and _only_shows(arguments):
            _leave(0, after_work=False)
        raise
    except KeyboardInterrupt:  # where nothing had begun of which more could be said
        if os.environ.get("LT_LIGHTNING_TRACEBACK"):
            raise
        _fail(_INTERRUPTED)
    except UsageError as error:
        if os.environ.get("LT_LIGHTNING_TRACEBACK"):
            raise
        # From a worker process torch brings the worker's traceback along, in front of the sentence.
        _fail(str(error).rpartition("UsageError: ")[2].strip())


def _current_folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  # pathlib costs `--help` its speed
    except FileNotFoundError:
        _fail("the current folder has been removed; change to another.")


@contextmanager
def _ending_at_ctrl_c(typed: bool) -> "Iterator[None]":
    """Have Ctrl-C end the process while a command is imported, when there is nothing to clear up.

    An exception would end some import instead, and what imports it might catch that, or try the import again for ever.
    """
    if not typed or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    try:
        signal.signal(signal.SIGINT, _end)
    except ValueError:  # in a thread, which Ctrl-C does not reach
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: "FrameType | None") -> None:  # noqa: ARG001
    os.write(2, f"lt-lightning: error: {_INTERRUPTED}\n".encode())
    os._exit(2)


def _print_whatever_comes() -> None:
    """Have a character that the output cannot take, such as τ in a pipe on Windows, cost itself and not the command."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # stderr writes such characters as their numbers
        sys.stdout.reconfigure(errors="replace")


def _drop_what_cannot_be_printed() -> None:
    """Have Python not try it again as it ends."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _imported(place: str) -> "Callable[[list[str]], None]":
    """Import ``module:function`` without looking for garbage meanwhile.

    Torch and Lightning bring millions of objects, all of them to stay. Going through them again and again takes a
    seventh of the time of importing them.
    """
    module, _, function = place.partition(":")
    collected = gc.isenabled()
    gc.disable()
    try:
        found: Callable[[list[str]], None] = getattr(import_module(module), function)
    finally:
        if collected:
            gc.freeze()  # these two together call every object old, so that the next collection spares them
            gc.unfreeze()
            gc.enable()
    return found


def _has_threads_of_gloo() -> bool:
    """Whether this process has been joined to others by Gloo, and has not left them.

    A thread may not yet have let go of what was last exchanged. If Python is taken apart meanwhile, that aborts the
    process, whose work is done (pytorch/pytorch#179291). Destroying the group leaves threads of a network that was
    trained.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return False
    return distributed.get_backend() == "gloo"  # type: ignore[no-any-return]


def _only_shows(arguments: list[str]) -> bool:
    names = [word.partition("=")[0] for word in arguments]
    return any(name in ("-h", "--print_config") or name.endswith("help") for name in names)


def _leave(status: int, after_work: bool) -> None:
    """End the process as Python would, but without taking apart what is imported, which would take a second.

    Does nothing if what was printed cannot be handed on; the ordinary way out then tells.

    Args:
        status: Of the process.
        after_work: Whether somebody may have left a file open; to look for them takes a fifth of a second.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    places = gc.get_objects() if after_work else [sys.stdout, sys.stderr]
    files = [one for one in places if issubclass(type(one), _BUFFERED)]
    try:
        for file in sorted(files, key=lambda one: isinstance(one, io.BufferedIOBase)):  # into which the others write
            with suppress(ValueError):  # of one that is closed
                if file.writable():  # another thread may wait for what it is to read
                    file.flush()
    except OSError:
        return
    os._exit(status)


_BUFFERED = (io.TextIOBase, io.BufferedIOBase)
"""Files of these kinds may hold what is not yet written."""


def _help() -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  {name:<{width}}{summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: lt-lightning COMMAND [options]\n",
            "Two-stage training for long-tailed image classification.\n",
            "commands:",
            *lines,
            _EXAMPLES,
            "Each command has its own --help. LT_LIGHTNING_TRACEBACK=1 shows where an error comes from.",
        ]
    )


def _fail(message: str) -> "NoReturn":
    _drop_what_cannot_be_printed()
    print(f"lt-lightning: error: {message}", file=sys.stderr)
    raise SystemExit(2)

"""Imports what the tests' processes would each import, and forks a process for every one that is asked for."""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

IMPORTED = (
    "lt_lightning.comparing.command",
    "lt_lightning.pipeline",
    "lt_lightning.predict",
    "sklearn.datasets",
    "torch._dynamo",  # by DistributedDataParallel and by optimizers, when they are made
    "torch.distributed.launcher.api",
)


def serve(listener: socket.socket, program: str) -> Callable[[], None]:
    """Fork until standard input ends.

    Args:
        listener: Where :mod:`client` asks.
        program: What calls it, for the processes' own processes.

    Returns:
        What is left to do, in this process or in a forked one.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while listener in select.select([sys.stdin, listener], [], [])[0]:
        connection = listener.accept()[0]
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            return attend(connection, program)
        connection.close()
    return lambda: None


def attend(connection: socket.socket, program: str) -> Callable[[], None]:
    """Fork the process that somebody asks for, and wait for it; should they be gone first, it ends too."""
    length, streams, *_ = socket.recv_fds(connection, 4, 3)
    with connection.makefile("rb") as questions:
        asked = json.loads(questions.read(int.from_bytes(length, "big")))
    process = os.fork()
    if process == 0:
        connection.close()
        return lambda: become(asked, streams, program)
    for stream in streams:
        os.close(stream)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(b"%d\n" % process)
    if connection in select.select([connection, os.pidfd_open(process)], [], [])[0]:
        os.kill(process, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(b"%d\n" % status)
    return lambda: None


def become(asked: dict[str, Any], streams: list[int], program: str) -> None:
    """Do what Python does when it is started with these arguments, there, with this environment."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(asked["folder"])
    of_server = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(asked["environment"])
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [*paths, *(path for path in sys.path if path not in of_server)]
    sys.executable = program
    # Lightning takes it from the environment when it is imported.
    from lightning.pytorch.utilities import rank_zero_only

    rank_zero_only.rank = int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")))
    run(asked["arguments"])


def run(arguments: list[str]) -> None:
    """Run ``[-u] (-m MODULE | -c CODE | FILE) ARGUMENT…``."""
    if arguments[0] == "-u" or os.environ.get("PYTHONUNBUFFERED"):
        sys.stdout.reconfigure(write_through=True)
        arguments = arguments[arguments[0] == "-u" :]
    kind, *rest = arguments
    if kind == "-m":
        sys.argv = rest
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        sys.path.insert(0, "")
        sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), vars(sys.modules["__main__"]))
    elif kind.startswith("-"):
        raise SystemExit(f"{kind}: of Python's own options only -c, -m and -u are known here")
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(kind).resolve().parent))
        runpy.run_path(kind, run_name="__main__")


def finish(task: Callable[[], None]) -> NoReturn:
    """Do it, and end as Python does, except that nothing is taken apart: that would copy the memory of the server."""
    status: Any = 0
    try:
        task()
    except SystemExit as stop:
        status = stop.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    if not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    del sys.path[0]  # the folder of this file
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    finish(serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2]))

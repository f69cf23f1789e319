"""A ``python`` whose processes have torch and Lightning imported when they start.

Importing them takes several seconds, longer than what most processes of the tests do afterwards. So one process imports
them, and every other one is forked from it: with the arguments, folder, environment and standard streams of whoever
started it, and with this ``python`` as ``sys.executable``, so that the processes that launchers start are forked too.
"""

import os
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def python() -> Iterator[str]:
    """Its path, for processes whose start is not what is tested; elsewhere than on Linux, Python's."""
    if not hasattr(os, "pidfd_open"):
        yield sys.executable
        return
    here = Path(__file__).parent
    # Of the system's, not of pytest's temporary folders: the path of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        place, program = Path(folder, "socket"), Path(folder, "python")
        client = shlex.join([sys.executable, "-I", "-S", str(here / "client.py"), str(place)])
        program.write_text(f'#!/bin/sh\nexec {client} "$@"\n')
        program.chmod(0o755)
        listener.bind(str(place))
        listener.listen(64)
        handle = listener.fileno()
        command = [sys.executable, str(here / "server.py"), str(handle), str(program)]
        # In a session of its own: Ctrl-C reaches the stand-ins, which pass it on.
        with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[handle], start_new_session=True) as server:
            listener.close()
            yield str(program)
            # The end of its input would tell it too, but workers of a loader, forked from here, may hold that open.
            server.terminate()

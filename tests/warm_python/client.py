"""What is started in place of Python: hands over what was typed, passes signals on, and ends as the process ends.

The standard library alone, and little of it (no pathlib): this is what a test pays for a process.
"""

import json
import os
import signal
import socket
import sys

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def main(place: str, arguments: list[str]) -> int:
    """Let a process of the server at ``place`` do what Python does with the arguments; gives its exit status."""
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # until it is known to whom
    with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rb") as answers:
        connection.connect(place)
        asked = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}  # noqa: PTH109
        message = json.dumps(asked).encode()
        socket.send_fds(connection, [len(message).to_bytes(4, "big")], [0, 1, 2])
        connection.sendall(message)
        process = int(answers.readline())
        for number in PASSED_ON:
            signal.signal(number, lambda number, _: os.kill(process, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        return int(answers.readline())


if __name__ == "__main__":
    status = main(sys.argv[1], sys.argv[2:])
    if status < 0:  # by a signal: so does this one end, for whoever waits for it
        if -status in PASSED_ON:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)

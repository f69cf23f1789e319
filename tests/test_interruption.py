"""An interrupted command says so, and leaves signals as they were."""

import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from lt_lightning.errors import UsageError
from lt_lightning.interruption import interruptible


def test_both_signals_become_a_sentence():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    cleaned = []

    def work(number):
        try:
            signal.raise_signal(number)
        finally:
            cleaned.append(number)

    for number in before:
        with pytest.raises(UsageError, match=r"^Interrupted: nothing is left\.$"), interruptible("nothing is left."):
            work(number)
    assert cleaned == list(before)
    assert {number: signal.getsignal(number) for number in before} == before


def test_what_a_trainer_makes_of_it_counts_as_well():
    before = signal.getsignal(signal.SIGINT)

    def fit():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            sys.exit(1)

    with pytest.raises(UsageError, match=r"^Interrupted: again\.$"), interruptible("again."):
        fit()
    assert signal.getsignal(signal.SIGINT) is before


def test_other_ends_pass_through():
    with pytest.raises(SystemExit, match="3"), interruptible("nothing."):
        raise SystemExit(3)
    with pytest.raises(ZeroDivisionError), interruptible("nothing."):
        _ = 1 / 0


def test_threads_leave_signals_alone():
    found = []

    def work():
        with interruptible("nothing."):
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]


def test_what_the_system_refuses_is_a_sentence_that_says_what_remains():
    full = OSError(errno.ENOSPC, "No space left on device", "runs/last.ckpt")
    sentence = r"^No space left on device: 'runs/last.ckpt'; make room there\. The last epoch is kept\.$"
    with pytest.raises(UsageError, match=sentence), interruptible("the last epoch is kept."):
        raise full
    with pytest.raises(FileNotFoundError), interruptible("nothing."):  # which may be a mistake in code
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "table")


WORKERS = """
import signal, sys, time
from torch.utils.data import DataLoader
from lt_lightning.errors import UsageError
from lt_lightning.interruption import interruptible

def read(batch):
    time.sleep(0.01)
    return batch

def work(loader):
    try:
        for number, _ in enumerate(loader):
            if number == 4:
                print("reading", flush=True)
    finally:
        until = time.monotonic() + 0.5
        while time.monotonic() < until:  # workers end while things are cleared up
            time.sleep(0.01)
        print("cleared up", flush=True)

if __name__ == "__main__":
    loader = DataLoader(range(100_000), num_workers=2, collate_fn=read, persistent_workers=True)
    at_once = sys.argv[1] == "at once"
    if not at_once:  # as a Trainer, which goes on to the batch's end
        signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with interruptible("nothing is left.", on_sigterm=at_once):
            work(loader)
    except UsageError as error:
        print(error, flush=True)
    time.sleep(0.5)
    print(signal.getsignal(signal.SIGCHLD).__module__)
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no groups of processes")
@pytest.mark.parametrize("when", ["at once", "later"])
def test_sigterm_to_worker_processes_too_is_one_sentence(tmp_path, when):
    script = tmp_path / "script.py"
    script.write_text(WORKERS)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, str(script), when], start_new_session=True, **pipes) as process:
        assert process.stdout.readline() == "reading\n"
        os.killpg(process.pid, signal.SIGTERM)
        said, wrong = process.communicate(timeout=60)
    heard = "torch.utils.data._utils.signal_handling"
    assert said == f"cleared up\nInterrupted: nothing is left.\n{heard}\n"
    assert wrong == ""
    assert process.returncode == 0

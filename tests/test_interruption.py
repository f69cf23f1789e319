"""An interrupted command says so, and leaves signals as they were."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver

from lt_lightning import interruption
from lt_lightning.errors import UsageError
from lt_lightning.interruption import came_after_sigterm, interruptible


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


@pytest.mark.parametrize(
    "said",
    [
        "gloo/transport/tcp/pair.cc:545] Read error [127.0.0.1]:21920: Connection reset by peer. This is typically",
        "gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:15026. This is typically caused by",
        "NCCL error: remote process exited or there was a network error, NCCL version 2.21.5",
    ],
)
def test_the_end_of_another_process_of_a_run_is_a_sentence_that_says_what_remains(said):
    sentence = r"^Another process of this run has ended, .*: the last epoch is kept\.$"
    with pytest.raises(UsageError, match=sentence), interruptible("the last epoch is kept."):
        raise RuntimeError(said)


@pytest.mark.parametrize(("error", "ends"), [(RuntimeError, [3, -signal.SIGKILL]), (KeyboardInterrupt, [-9, -9])])
def test_processes_that_were_started_tell_of_their_errors_and_end(monkeypatch, error, ends):
    monkeypatch.setattr(interruption, "_GRACE", 2.0)
    code = "import time; time.sleep({}); raise SystemExit(3)"
    started = [subprocess.Popen([sys.executable, "-c", code.format(seconds)]) for seconds in (0.5, 60)]
    watch = _ChildProcessObserver(os.getpid(), list(started), sleep_period=1)
    watch.start()
    with pytest.raises((error, UsageError)), interruptible("nothing is kept."):
        raise error
    assert [process.wait(30) for process in started] == ends
    watch.join(30)  # it has ended none of them, nor this process
    assert not watch.is_alive()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_meanwhile_ends_them_at_once_and_the_error_is_told(monkeypatch, number):
    monkeypatch.setattr(interruption, "_GRACE", 500.0)  # longer than the other lives
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    watch = _ChildProcessObserver(os.getpid(), [started], sleep_period=1)
    watch.start()

    def fails():
        signal.signal(signal.SIGTERM, lambda *_: None)  # as of a Trainer that has failed
        threading.Timer(0.5, os.kill, (os.getpid(), number)).start()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), interruptible("nothing is kept."):
        fails()
    assert started.wait(30) == -signal.SIGKILL
    watch.join(30)
    assert not watch.is_alive()


def test_sigterm_is_left_to_a_handler_that_calls_the_one_before_it():
    """As a Trainer's does, which ends after its batch."""
    heard = []

    def work():
        before = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, lambda *received: (heard.append(received[0]), before(*received)))
        signal.raise_signal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)
        assert heard == [signal.SIGTERM]
        signal.raise_signal(signal.SIGTERM)
        heard.append("not reached")

    with pytest.raises(UsageError, match=r"^Interrupted: nothing is left\.$"), interruptible("nothing is left."):
        work()
    assert heard == [signal.SIGTERM]


@pytest.mark.parametrize("error", [RuntimeError("Please call `iter(combined_loader)` first."), BrokenPipeError(32, "")])
def test_what_comes_of_ctrl_c_as_things_are_cleared_up_is_no_error(error):
    def work():
        try:
            raise KeyboardInterrupt
        finally:
            raise error

    with pytest.raises(UsageError, match=r"^Interrupted: again\.$"), interruptible("again."):
        work()


def test_a_sentence_that_comes_of_ctrl_c_stays():
    with pytest.raises(UsageError, match=r"^Half a file is left\.$"), interruptible("again."):
        raise UsageError("Half a file is left.") from KeyboardInterrupt()


def test_errors_that_name_each_other_as_their_causes_are_read_once():
    one, other = OSError(errno.ENOENT, "No such file or directory"), ValueError("as jsonargparse wraps it")
    other.__cause__ = one
    with pytest.raises(FileNotFoundError), interruptible("nothing."):
        raise one from other


def test_too_many_open_files_are_the_systems_also_where_torch_tells_of_them():
    sentence = r"^Too many open files; allow more open files, as by `ulimit -n`, or take fewer .* Nothing is kept\.$"
    with pytest.raises(UsageError, match=sentence), interruptible("nothing is kept."):
        raise RuntimeError("Too many open files. Communication with the workers is no longer possible. Please increase")


def test_a_thread_that_cannot_be_started_is_the_systems_too():
    sentence = r"; allow more processes, as by `ulimit -u`, or take fewer `data.num_workers`\. Nothing is kept\.$"
    before = threading.stack_size(2**50)  # more than there are addresses
    try:
        with pytest.raises(UsageError, match=sentence), interruptible("nothing is kept."):
            threading.Thread(target=print).start()
    finally:
        threading.stack_size(before)


def test_memory_that_a_file_cannot_be_mapped_to_is_the_systems_too():
    sentence = r"^Cannot allocate memory; ask for more memory, or take fewer `data.num_workers`\. Nothing is kept\.$"
    with pytest.raises(UsageError, match=sentence), interruptible("nothing is kept.", "data.batch_size"):
        raise RuntimeError("unable to mmap 1024 bytes from file </torch_7_1>: Cannot allocate memory (12)")


def test_a_lock_of_ones_own_that_is_taken_keeps_its_traceback():
    with pytest.raises(BlockingIOError), interruptible("nothing is kept."):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def raises(error):
    raise error


@pytest.mark.parametrize(
    ("takes", "where"),
    [
        (lambda: torch.empty(2**60, dtype=torch.uint8), "Memory"),
        (lambda: np.empty(2**60, dtype=np.uint8), "Memory"),
        (lambda: raises(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")), "The GPU's memory"),
        (lambda: raises(RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be")), "The GPU's memory"),
    ],
)
def test_memory_that_is_short_is_a_sentence_that_says_what_takes_it(takes, where):
    one = ["data.batch_size"]
    for options, named in ((one, "`data.batch_size`"), ([*one, "data.size"], "`data.batch_size` or `data.size`")):
        sentence = rf"^{where} is short; take a smaller {named}, or ask for more\. The last epoch is kept\.$"
        with pytest.raises(UsageError, match=sentence), interruptible("the last epoch is kept.", *options):
            takes()
    sentence = rf"^{where} is short; ask for more\. Nothing is kept\.$"
    with pytest.raises(UsageError, match=sentence), interruptible("nothing is kept."):
        takes()


def test_another_error_of_ones_own_part_keeps_its_traceback():
    with pytest.raises(RuntimeError, match=r"^my memory"), interruptible("nothing is kept.", "data.batch_size"):
        raise RuntimeError("my memory of earlier batches is empty")


def test_a_connection_of_another_kind_is_none_of_the_runs_processes():
    with pytest.raises(RuntimeError, match=r"^s3: .*Connection reset by peer"), interruptible("nothing is kept."):
        raise RuntimeError("s3: [Errno 104] Connection reset by peer")


WORKERS = """
import signal, sys, time
from torch.utils.data import DataLoader
from lt_lightning.errors import UsageError
from lt_lightning.interruption import came_after_sigterm, interruptible

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
    try:
        with interruptible("nothing is left."):
            if sys.argv[1] == "later":  # as a Trainer, which goes on to the batch's end
                signal.signal(signal.SIGTERM, lambda *_: None)
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
        said, wrong = process.communicate(timeout=300)
    heard = "torch.utils.data._utils.signal_handling"
    assert said == f"cleared up\nInterrupted: nothing is left.\n{heard}\n"
    assert wrong == ""
    assert process.returncode == 0


TRAINERS = """
import signal, time
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader
from lt_lightning.errors import UsageError
from lt_lightning.interruption import interruptible
from lt_lightning.quiet import quiet
from lt_lightning.signals import Signals, sigterm_interrupts

def read(batch):
    time.sleep(0.4)
    return torch.ones(2, 3)

class Module(LightningModule):
    def __init__(self, steps):
        super().__init__()
        self.layer, self.steps = torch.nn.Linear(3, 1), steps

    def training_step(self, batch, batch_idx):
        if self.steps > 1 and batch_idx == 2:
            print("training", flush=True)
        return self.layer(batch).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

def fit(steps):
    bare = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = Trainer(max_steps=steps, accelerator="cpu", callbacks=[Signals("run")], **bare)
    trainer.fit(Module(steps), DataLoader(range(1000), num_workers=2, collate_fn=read, batch_size=2))

if __name__ == "__main__":
    quiet()
    try:
        with interruptible("nothing is left."), sigterm_interrupts():
            fit(1)
            fit(500)
    except UsageError as error:
        print(error, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no groups of processes")
def test_sigterm_to_workers_of_a_later_trainer_is_one_sentence_too(tmp_path):
    """A Trainer takes back what tells torch of its workers' ends, and torch does not set it again."""
    script = tmp_path / "script.py"
    script.write_text(TRAINERS)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-W", "ignore", str(script)]
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        assert process.stdout.readline() == "training\n"
        time.sleep(0.15)  # the workers read, and the Trainer waits for them
        os.killpg(process.pid, signal.SIGTERM)
        said, wrong = process.communicate(timeout=300)
    assert said == "Interrupted: nothing is left.\n", wrong
    assert "Traceback" not in wrong
    assert "Received SIGTERM" not in wrong
    assert process.returncode == 0


def test_a_worker_that_ends_by_itself_is_no_interruption():
    def ended(signalled):
        error = RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly")
        if signalled:
            came_after_sigterm(error)
        raise error

    with pytest.raises(RuntimeError, match="exited unexpectedly"), interruptible("nothing is left."):
        ended(signalled=False)
    with pytest.raises(UsageError, match="Interrupted: nothing is left"), interruptible("nothing is left."):
        ended(signalled=True)
    other = RuntimeError("out of memory")
    came_after_sigterm(other)
    with pytest.raises(RuntimeError, match="out of memory"), interruptible("nothing is left."):
        raise other

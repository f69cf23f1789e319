"""Two processes of a job whose time is over."""

import os
import socket
import subprocess
import sys

import pytest
import torch

TASK = {"JOB_ID": "7", "JOB_NAME": "mine", "NTASKS": "2", "NTASKS_PER_NODE": "2", "NNODES": "1", "NODEID": "0"}
TWO_TASKS = """
import os, signal, sys
import lightning.fabric.plugins.environments.slurm as environment
import lightning.pytorch.trainer.connectors.signal_connector as connector
from lightning.pytorch import Callback
environment.shutil.which = lambda _: None
connector.call = lambda words: print("put back", flush=True) or 0

class Signalled(Callback):
    \"\"\"Each process gets the signal at a time of its own, or only one of them.\"\"\"

    def on_before_zero_grad(self, trainer, *_):
        if str(trainer.global_step) == os.environ["AT"]:
            os.kill(os.getpid(), signal.SIGUSR1)

sys.modules["tasks"] = sys.modules[__name__]
from lt_lightning.cli import typed
typed()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "batch_size", "more"),
    [
        (("4", "6"), 32, ()),
        (("never", "17"), 32, ()),
        (("1", "never"), 8, ("--trainer.accumulate_grad_batches=4",)),
    ],
)
def test_processes_of_a_job_save_together(here, tiny, at, batch_size, more):
    """Whichever of them gets the signal, and when; also in the last steps, and soon where a step has many batches.

    A job that goes on within an epoch shows what is left of it: both end alike, as the first goes on here, too.
    """
    two = ("--trainer.devices=2", "--trainer.num_nodes=1", "--trainer.strategy=ddp")
    words = tiny(
        "fit", "RepresentationModule", f"--data.batch_size={batch_size}", "--trainer.max_epochs=2", *two, *more
    )
    said = job_of_two(here, words, at)
    assert [text.count("put back") for text in said] == [1, 0]
    (saved,) = here.rglob("hpc_ckpt_*.ckpt")
    steps = torch.load(saved, weights_only=True)["global_step"]
    if not more:
        assert 4 < steps <= 16 if at[0] == "4" else steps == 18
        return
    assert steps == 3  # in the fifth batch; asked of all after the eighth, and heard after the twelfth
    assert [text.count("put back") for text in job_of_two(here, words, at)] == [0, 0]
    whole, resumed = (torch.load(path, weights_only=True) for path in sorted(here.rglob("last.ckpt")))
    assert whole["global_step"] == resumed["global_step"] == 18
    assert all(torch.equal(whole["state_dict"][key], value) for key, value in resumed["state_dict"].items())


def job_of_two(here, words, at):
    """Has two tasks do a command, with a signal at a step of each; gives what either says."""
    (here / "tasks.py").write_text(TWO_TASKS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    layout = TASK | {"NODELIST": "localhost"}
    started = []
    for rank in range(2):
        names = {
            f"SLURM_{name}": value for name, value in (layout | dict.fromkeys(("PROCID", "LOCALID"), str(rank))).items()
        }
        environment = os.environ | names | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "AT": at[rank]}
        command = [sys.executable, "tasks.py", *words, "--trainer.callbacks+=tasks.Signalled"]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        started.append(subprocess.Popen(command, cwd=here, env=environment, **options))
    try:
        said = [process.communicate(timeout=300)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], said
    return said

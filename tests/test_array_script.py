"""The script of a job array, in one process; that of several processes is in ``test_ddp.py``."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from short_runs import TINY

from lt_lightning import cli

CLUSTER = Path(__file__).resolve().parents[1] / "configs/cluster"

# In place of `lt-lightning`: the test's own process does the command, while the script waits.
HAND_OVER = """#!/usr/bin/env bash
printf '%s\\0' "$@" >asked.part
mv asked.part asked
until [[ -f done ]]; do sleep 0.05; done
rm done
"""


@pytest.fixture
def array_task(here, monkeypatch):
    """Runs task 3 of an array of two presets and two seeds with some options; gives what the script says."""
    (here / "bin").mkdir()
    command = here / "bin/lt-lightning"
    command.write_text(HAND_OVER)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{here / 'bin'}{os.pathsep}{os.environ['PATH']}")
    (here / "mine.yaml").write_text(yaml.safe_dump({"model": "RepresentationModule", "trainer": {"max_epochs": 2}}))
    settings = {"PRESETS": "other mine.yaml", "SEEDS": "0 5", "NAME": "array", "SLURM_ARRAY_TASK_ID": "3"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)

    def run(*options):
        script = ["bash", str(CLUSTER / "slurm.sh"), *TINY, *options]
        with subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as started:
            try:
                while started.poll() is None:
                    if (here / "asked").exists():
                        words = (here / "asked").read_text().split("\0")[:-1]
                        (here / "asked").unlink()
                        cli.main(words)
                        (here / "done").touch()
                    time.sleep(0.02)
            finally:
                started.kill()
            return started.returncode, started.stdout.read()

    return run


def test_the_array_script_trains_tests_and_goes_on(array_task, here, monkeypatch):
    assert array_task("--trainer.max_epochs=1") == (0, "")
    folder = here / "runs/array/mine/seed_5"
    records = [json.loads(path.read_text()) for path in sorted(folder.rglob("results.json"))]
    assert [(record["seed"], record["epochs"], list(record["evaluation"])) for record in records] == [
        (5, 1, ["val"]),
        (5, 1, ["test"]),
    ]
    assert array_task() == (0, "runs/array/mine/seed_5 is done\n")
    (folder / "done").unlink()  # as if its time had been over after the first epoch
    assert array_task("--trainer.max_epochs=2") == (0, "")
    epochs = {json.loads(path.read_text())["epochs"] for path in folder.rglob("results.json")}
    assert epochs == {1, 2}
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
    status, said = array_task()
    assert status == 2
    assert "2 presets × 2 seeds are tasks 0 to 3; give `--array=0-3`" in said


@pytest.mark.parametrize("script", sorted(CLUSTER.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_sound(script):
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0

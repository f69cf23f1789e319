"""Runs of scripts that several test files look at."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lt_lightning

STAGE1 = Path(__file__).parents[2] / "benchmarks" / "stage1.py"
TINY = ("--networks", "ResNet20", "--batch-sizes", "4", "--precisions", "32-true", "--warm", "1", "--steps", "1")
ONE_ROUND = ("--rounds", "1", "--evaluated", "100", "--data-images", "256", "--threads", "1")


@pytest.fixture(scope="session")
def stage1_record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``benchmarks/stage1.py`` leaves after one round of every part."""
    if not STAGE1.exists():
        pytest.skip("the scripts of the source tree are not here")
    output = tmp_path_factory.mktemp("stage1") / "stage1.json"
    pinned = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "2147483647", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **pinned, "PYTHONPATH": str(Path(lt_lightning.__file__).parents[1])}
    command = [sys.executable, str(STAGE1), *TINY, *ONE_ROUND, "--parts", "a", "b", "c", "data"]
    command += ["--output", str(output)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = json.loads(output.read_text())
    return record

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lt_lightning

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "stage2.py"


def test_heads_trained_together_equal_heads_trained_alone(tmp_path: Path) -> None:
    if not SCRIPT.exists():
        pytest.skip("the scripts of the source tree are not here")
    output = tmp_path / "stage2.json"
    options = ["--rounds", "1", "--epochs", "1", "--heads", "4", "--steps", "0", "--threads", "1"]
    pinned = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "2147483647"}
    environment = {**os.environ, **pinned, "PYTHONPATH": str(Path(lt_lightning.__file__).parents[1])}
    command = [sys.executable, str(SCRIPT), *options, "--output", str(output)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads(output.read_text())
    assert 0 < record["b: largest relative difference of a weight"] < 1e-6
    assert set(record["c: LORT alone"]) == {"autograd", "feature loop", "Trainer"}

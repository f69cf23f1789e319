import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lt_lightning import losses

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "losses.py"


def test_it_measures_every_public_loss(tmp_path: Path) -> None:
    if not SCRIPT.exists():
        pytest.skip("the scripts of the source tree are not here")
    output = tmp_path / "losses.json"
    command = [sys.executable, str(SCRIPT), "--sizes", "6x5", "4x300", "--rounds", "2", "--output", str(output)]
    # As the script would set them for itself, at the price of importing torch twice.
    pinned = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "2147483647", "KINETO_LOG_LEVEL": "99"}
    package = str(Path(losses.__file__).parents[2])
    environment = {**os.environ, **pinned, "PYTHONPATH": package, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads(output.read_text())
    assert record["environment"]["threads"] == 1
    assert list(record["sizes"]) == ["6x5", "4x300"]
    for rows in record["sizes"].values():
        assert {name.split()[0] for name in rows} == set(losses.__all__) - {"Loss"} | {"torch"}
        for row in rows.values():
            assert row["milliseconds"] > 0
            assert row["ratio_quartile_1"] <= row["ratio"] <= row["ratio_quartile_3"]
    # Log-probabilities, their gradient and the logits' gradient, each as large as the logits.
    assert record["sizes"]["4x300"]["torch cross entropy"]["peak_memory"] == pytest.approx(3, rel=0.1)

import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "stage2.py"


def test_heads_trained_together_equal_heads_trained_alone(run_script, tmp_path: Path) -> None:
    if not SCRIPT.exists():
        pytest.skip("the scripts of the source tree are not here")
    output = tmp_path / "stage2.json"
    options = ["--rounds", "1", "--epochs", "1", "--heads", "4", "--steps", "0", "--threads", "1"]
    run_script(SCRIPT, *options, "--output", str(output))
    record = json.loads(output.read_text())
    assert 0 < record["b: largest relative difference of a weight"] < 1e-6
    assert set(record["c: LORT alone"]) == {"autograd", "feature loop", "Trainer"}

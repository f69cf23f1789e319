import json
from pathlib import Path

import pytest

from lt_lightning import losses

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "losses.py"


def test_it_measures_every_public_loss(run_script, tmp_path: Path) -> None:
    output = tmp_path / "losses.json"
    run_script(SCRIPT, "--sizes", "6x5", "4x300", "--rounds", "2", "--output", str(output))
    record = json.loads(output.read_text())
    assert record["environment"]["threads"] == 1
    assert list(record["sizes"]) == ["6x5", "4x300"]
    public = set(losses.__all__) - {"Loss", "MarginLoss", "OneVsAllLoss"}
    for rows in record["sizes"].values():
        assert {name.split()[0] for name in rows} == public | {"torch"}
        for row in rows.values():
            assert row["milliseconds"] > 0
            assert row["ratio_quartile_1"] <= row["ratio"] <= row["ratio_quartile_3"]
    # Log-probabilities, their gradient and the logits' gradient, each as large as the logits.
    assert record["sizes"]["4x300"]["torch cross entropy"]["peak_memory"] == pytest.approx(3, rel=0.1)

import json
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "stage2.py"


def test_heads_trained_together_equal_heads_trained_alone(run_script, tmp_path: Path) -> None:
    output = tmp_path / "stage2.json"
    options = ["--rounds", "1", "--epochs", "1", "--heads", "4", "--steps", "0", "--threads", "1"]
    run_script(SCRIPT, *options, "--output", str(output))
    record = json.loads(output.read_text())
    assert 0 < record["b: largest relative difference of a weight"] < 1e-6
    assert set(record["c: LORT alone"]) == {"autograd", "feature loop", "Trainer"}


# With another device in a GPU's place, and nothing that trains.
DRIVER = """
import sys, tempfile
from pathlib import Path
import stage2

class Caught:
    def __init__(self, **options):
        self.options = options
    def fit(self, module, datamodule):
        print("Trainer", self.options["accelerator"])

def caught(runs, rows):
    order = runs[0].sampler.indices(0)
    features, targets = rows.take(order, 0)
    print("head", len(order), len(set(order.tolist())))
    print("on", {value.device.type for value in (runs[0].head.weight, runs[0].loss.counts, features, targets)})

stage2.Trainer, stage2.train_heads = Caught, caught
stage2.through_a_trainer(stage2.Rows("cpu"), 1, "cuda")
with tempfile.TemporaryDirectory() as folder:
    stage2.STORED, stage2.CLASSES = 7, 5
    stage2.large_head(4, 3, stage2.MappedRows(Path(folder) / "features.bin", "meta"))
"""


def test_a_device_is_what_is_timed(run_script, tmp_path: Path) -> None:
    (tmp_path / "driver.py").write_text(DRIVER)
    assert run_script(tmp_path / "driver.py").splitlines() == ["Trainer gpu", "head 12 7", "on {'meta'}"]

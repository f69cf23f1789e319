import json
from pathlib import Path
from statistics import mean

import pytest

PATHS = ("slow", "fast", "fast_bf16")
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fast_path_accuracy.py"


@pytest.fixture
def run(run_script, parquet_root, tmp_path):
    options = ["--root", str(parquet_root), "--max-count", "16", "--imbalance-ratio", "4", "--epochs", "1"]
    return lambda *more: run_script(SCRIPT, *options, "--output", str(tmp_path / "found.json"), *more)


def test_it_goes_on_where_it_stopped_and_compares_the_paths(run, tmp_path):
    output = tmp_path / "found.json"
    run("--seeds", "1")
    record = json.loads(output.read_text())
    assert "comparison" not in record
    for path in PATHS:
        (one,) = record["runs"][path]
        assert one["seconds"] > 0
        # 40 test images of ten classes; the classes keep 16 to 4 training images, so none has many.
        assert one["many"] is None
        assert one["all"] * 40 == pytest.approx(round(one["all"] * 40))

    # Figures that no run gives tell whether a run is repeated.
    for path, all_classes in zip(PATHS, (0.876, 0.123, 0.321), strict=True):
        record["runs"][path][0]["all"] = all_classes
    output.write_text(json.dumps(record))
    printed = run("--seeds", "2")
    assert "seed 0" not in printed
    assert printed.count("seed 1") == 3
    record = json.loads(output.read_text())
    row = record["comparison"]["all"]
    for path, first in zip(PATHS, (0.876, 0.123, 0.321), strict=True):
        assert [one["seed"] for one in record["runs"][path]] == [0, 1]
        assert record["runs"][path][0]["all"] == first
        assert row[path]["mean"] == pytest.approx(mean(one["all"] for one in record["runs"][path]))
    for pair, first, second in (("fast - slow", "fast", "slow"), ("bf16 - fp32", "fast_bf16", "fast")):
        found = row[pair]
        assert found["difference"] == pytest.approx(row[first]["mean"] - row[second]["mean"])
        squares = row[first]["sd"] ** 2 + row[second]["sd"] ** 2
        assert found["standard_error"] == pytest.approx((squares / 2) ** 0.5)
        assert found["interval_95"][0] < found["difference"] < found["interval_95"][1]
        assert f"{pair}: " in printed
    assert "many" not in record["comparison"]


def test_runs_of_other_settings_are_not_mixed(run, tmp_path):
    (tmp_path / "found.json").write_text(json.dumps({"protocol": {"epochs": 3}, "runs": {"slow": [], "fast": []}}))
    with pytest.raises(AssertionError, match="holds runs of other settings"):  # what the script said as it ended
        run("--seeds", "1")

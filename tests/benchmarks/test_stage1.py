import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lt_lightning

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "stage1.py"
TINY = ("--networks", "ResNet20", "--batch-sizes", "4", "--precisions", "32-true", "--warm", "1", "--steps", "1")
ONE_ROUND = ("--rounds", "1", "--evaluated", "100", "--data-images", "256", "--threads", "1")


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    if not SCRIPT.exists():
        pytest.skip("the scripts of the source tree are not here")
    output = tmp_path_factory.mktemp("stage1") / "stage1.json"
    pinned = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "2147483647", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **pinned, "PYTHONPATH": str(Path(lt_lightning.__file__).parents[1])}
    command = [sys.executable, str(SCRIPT), *TINY, *ONE_ROUND, "--parts", "a", "b", "c", "data"]
    command += ["--output", str(output)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(output.read_text())


def test_every_part_is_measured_on_the_same_batches(record):
    (setting,) = record["settings"]
    assert (setting["network"], setting["batch"], setting["steps"]) == ("ResNet20", 4, 1)
    assert [row["part"] for row in setting["rows"]] == ["a", "b", "c"]
    for row in setting["rows"]:
        (timed,) = row["rounds"]
        assert row["milliseconds_a_step"]["median"] == pytest.approx(1000 * timed["step"])
        assert row["images_per_second"]["median"] == pytest.approx(4 / timed["step"])
        assert row["first_step_seconds"] > 0


def test_an_epoch_counts_validation_of_ours_and_the_test_pass_of_theirs(record):
    (setting,) = record["settings"]
    a, b, c = setting["rows"]
    steps = setting["train_images"] / 4
    ours, theirs = b["rounds"][0], c["rounds"][0]
    assert a["seconds_an_epoch"]["median"] == pytest.approx(steps * a["rounds"][0]["step"])
    # Validation images are what is left of at most 20 images a class: class 0 has none.
    assert setting["train_images"] == 10_847
    assert 0 < setting["val_images"] < 2000
    share = setting["val_images"] / setting["check_val_every_n_epoch"] * ours["evaluation"]
    assert b["seconds_an_epoch"]["median"] == pytest.approx(steps * ours["step"] + ours["epoch_end"] + share)
    assert c["seconds_an_epoch"]["median"] == pytest.approx(steps * theirs["step"] + 10_000 * theirs["evaluation"])


def test_ratios_are_those_of_the_times(record):
    a, b, c = record["settings"][0]["rows"]
    whole = b["seconds_an_epoch"]["median"]
    ratios = {name: found["median"] for name, found in b["ratios"].items()}
    assert ratios["b/a"] == pytest.approx(a["rounds"][0]["step"] / b["rounds"][0]["step"])
    assert ratios["b/c"] == pytest.approx(c["seconds_an_epoch"]["median"] / whole)
    assert ratios["b/c without test pass"] == pytest.approx(10_847 / 4 * c["rounds"][0]["step"] / whole)
    assert ratios["b/c"] > ratios["b/c without test pass"]


def test_the_data_path_is_measured_alone(record):
    ours = {"batches, from a table of crops", "batches, from the images"}
    assert set(record["data"]) == ours | {"PIL, in this process", "PIL, 2 workers", "PIL, 4 workers"}
    assert all(0 < rate["quartile_1"] <= rate["median"] <= rate["quartile_3"] for rate in record["data"].values())

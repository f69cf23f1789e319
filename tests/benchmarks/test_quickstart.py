"""``benchmarks/quickstart.py`` on seeds of an epoch a stage."""

import importlib.util
import json
from pathlib import Path
from statistics import stdev

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "quickstart.py"
OVERLAY = ROOT / "tests" / "conf" / "quickstart.yaml"


@pytest.fixture(scope="module")
def quickstart():
    spec = importlib.util.spec_from_file_location("quickstart_under_test", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_every_seed_has_a_part_in_every_row(quickstart, line, tmp_path, capsys) -> None:
    output = tmp_path / "found.json"
    quickstart.main(["--seeds", "3", "4", "--over", str(OVERLAY), "--output", str(output)])
    record = json.loads(output.read_text())
    assert record["environment"]["threads"] == 1
    assert record["seeds"] == [3, 4]
    assert [data["sizes"]["test"] for data in record["data"]] == [500, 500]
    assert list(record["rows"]) == list(quickstart.LABELS)
    printed = capsys.readouterr().out
    for stage, label in quickstart.LABELS.items():
        row, cells = record["rows"][stage], line(printed, label)
        for group, cell in zip(("all", "many", "medium", "few"), cells[1:], strict=True):
            first, second = row["runs"][group]
            assert row["mean"][group] == pytest.approx((first + second) / 2)
            assert row["standard_deviation"][group] == pytest.approx(stdev([first, second]))
            assert cell == f"{100 * row['mean'][group]:.1f} ± {100 * row['standard_deviation'][group]:.1f}"
    # Two seeds draw other weights and images.
    assert record["rows"]["stage1"]["standard_deviation"]["all"] > 0
    assert line(printed, "test accuracy in %, mean ± standard deviation of seeds 3, 4")[2] == "many (3, >30 images)"


def test_a_run_that_fails_is_no_figure(quickstart) -> None:
    with pytest.raises(RuntimeError, match=r"seed 5 failed: lt-lightning: error: .*stage9"):
        quickstart.run(5, ["--stage9.epochs", "1"])


def test_one_seed_has_no_deviation(quickstart, capsys) -> None:
    with pytest.raises(SystemExit):
        quickstart.main(["--seeds", "0"])
    assert "--seeds has 0 alone" in capsys.readouterr().err

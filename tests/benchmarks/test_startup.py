import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "startup.py"


@pytest.fixture(scope="module")
def startup():
    spec = importlib.util.spec_from_file_location("startup_under_test", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_measures_what_is_asked_for_and_the_yardstick(startup, tmp_path, capsys) -> None:
    output = tmp_path / "startup.json"
    options = ["--rounds", "1", "--warm-up", "0", "--output", str(output)]
    startup.main([*options, "--cases", "lt-lightning --help", "fit, first step"])
    record = json.loads(output.read_text())
    rows = record["cases"]
    assert set(rows) == {startup.YARDSTICK, "lt-lightning --help", "fit, first step"}
    assert rows[startup.YARDSTICK]["lightning_imports"] == 1
    for row in rows.values():
        low, high = row["quartiles_seconds"]
        assert 0 < low <= row["median_seconds"] <= high
        assert row["lightning_imports"] > 0
    assert record["environment"]["hardware"]
    assert "in imports of Lightning" in capsys.readouterr().out


def test_a_process_that_fails_is_no_measurement(startup, tmp_path) -> None:
    with pytest.raises(RuntimeError, match=r"failed: .*`fitt` is not a command"):
        startup.seconds(["-m", "lt_lightning", "fitt"], str(tmp_path))


def test_unknown_cases_are_refused(startup, capsys) -> None:
    with pytest.raises(SystemExit):
        startup.main(["--cases", "fitt"])
    assert "--cases has ['fitt']" in capsys.readouterr().err

"""Tables in files."""

import csv
import json
import os
from pathlib import Path

import pytest

from lt_lightning import report
from lt_lightning.errors import UsageError
from lt_lightning.report import files


def test_files_are_written_whole_and_replaced_on_request_only(write, run, here, capsys):
    for seed in range(2):
        write(f"runs/{seed}", run(0.4 + seed / 10, seed=seed), f"seed_everything: {seed}\n")
    for name in ("table.csv", "table.md", "table.json"):
        report.main(["report", "runs", "--output", name])
    shown = capsys.readouterr().out
    assert "45.0 ± 7.1" in shown
    with (here / "table.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (float(row["all"]), row["seeds"], row["few"], row["bn_mode"]) == (pytest.approx(0.45), "0 1", "", "eval")
    assert json.loads((here / "table.json").read_text())[0]["all_sd"] == pytest.approx(0.0707, abs=1e-4)
    assert "| LinearHead + LORTLoss | 45.0 ± 7.1 |" in (here / "table.md").read_text()
    with pytest.raises(UsageError, match=r"`--output` 'table.md' exists; give another name, or `--overwrite true`"):
        report.main(["report", "runs", "--output", "table.md", "--overwrite", "false"])
    for words in (["--overwrite", "true"], ["--overwrite=True"], ["--overwrite"]):
        report.main(["report", "runs", "--output", "table.md", *words])
    report.main(["report", "--output", "table.md", "--overwrite", "runs"])
    with pytest.raises(UsageError, match=r"'table.txt' must end in .csv, .md or .json"):
        report.main(["report", "runs", "--output", "table.txt"])
    with pytest.raises(UsageError, match=r"results\.json would be taken for a run's own file"):
        report.main(["report", "runs", "--output", "results.json"])


def test_a_table_that_appears_meanwhile_stays(write, run, rows_of, here):
    write("a", run(0.4))
    (here / "table.csv").write_text("theirs")
    with pytest.raises(UsageError, match=r"`--output` 'table.csv' already exists"):
        files.write(Path("table.csv"), rows_of("a")[0], "test")
    assert (here / "table.csv").read_text() == "theirs"


def test_a_folder_whose_name_is_not_utf8_is_named_as_it_is(write, run, rows_of, here):
    folder = os.fsdecode(b"caf\xe9")
    try:
        (here / folder).mkdir()
    except OSError:
        pytest.skip("this file system has no such names")
    write(folder, run(0.4))
    rows, _ = rows_of(".")
    for name, bytes_of_it in (("table.csv", b"caf\xe9/results.json"), ("table.json", rb"caf\udce9/results.json")):
        files.write(Path(name), rows, "test")
        assert bytes_of_it in (here / name).read_bytes()


def test_options_in_which_rows_differ_have_a_column(write, run, rows_of):
    for rate in (0.1, 0.2):
        write(f"{rate}", run(0.4), f"model: {{lr: {rate}, momentum: 0.9}}\n")
    rows, _ = rows_of(".")
    lines = csv.DictReader(files.to_csv(rows, "test").splitlines())
    assert [line["options"] for line in lines] == ["model.lr=0.1", "model.lr=0.2"]
    assert [row["options"] for row in json.loads(files.to_json(rows, "test"))] == [
        {"model.lr": "0.1"},
        {"model.lr": "0.2"},
    ]

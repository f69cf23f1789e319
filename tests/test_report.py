"""Many runs in one table."""

import csv
import json
import os
import re
import subprocess
import sys

import pytest

from lt_lightning import cli, report
from lt_lightning.errors import UsageError
from lt_lightning.main import main

COMMON = {
    "class_counts": [300, 50, 4],
    "group_thresholds": [20, 100],
    "data": {"dataset": "made"},
    "preset": "made/lort",
    "seed": 0,
}


def evaluation(value, **more):
    accuracy = {"all": value, "many": 0.9, "medium": 0.5, "few": None, "micro": 0.8}
    return {"accuracy": accuracy, "calibration": {"ece": {"all": 0.1}}, "test_time_averaging": "none", **more}


def run(value, split="test", **more):
    return {
        **COMMON,
        "head": "LinearHead",
        "loss": "LORTLoss",
        "bn_mode": "eval",
        "selection": "none: the weights of the last epoch",
        "evaluation": {split: evaluation(value)},
        **more,
    }


def compared(rows, **more):
    protocol = {"views": 1, "bn_mode": "eval", "test_time_averaging": "none", "aggregation": "mean", "selection": "val"}
    return {
        **COMMON,
        "checkpoint": {"path": "model.pth"},
        "backbone": "ResNet32",
        "protocol": protocol | more,
        "rows": rows,
    }


@pytest.fixture
def write(here):
    def write(place, record, config=None):
        folder = here / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(record if isinstance(record, str) else json.dumps(record))
        if config is not None:
            (folder / "config.yaml").write_text(config)

    return write


def rows_of(*folders, **options):
    runs, notes = report.collect([report.Path(folder) for folder in folders], **options)
    return report.group(runs), notes


def test_seeds_of_one_experiment_make_a_row(write):
    for seed, value in enumerate((0.4, 0.5, 0.6)):
        config = f"seed_everything: {seed}\nmodel:\n  checkpoint: stage1_{seed}.ckpt\n  lr: 0.1\n"
        write(f"runs/version_{seed}", run(value, seed=seed), config)
    (row,), notes = rows_of("runs")
    assert notes == []
    assert row.names[1:3] == ("made/lort", "LinearHead, LORTLoss")
    assert row.seeds == [0, 1, 2]
    assert (row.mean("all"), row.deviation("all")) == pytest.approx((0.5, 0.1))
    assert row.mean("few") is None  # an empty group
    assert row.mean("ece") == pytest.approx(0.1)


def test_other_settings_and_other_data_are_other_rows(write):
    write("a", run(0.4), "lr: 0.1\n")
    write("b", run(0.5, seed=1), "lr: 0.2\n")
    write("c", run(0.6, class_counts=[300, 50, 5]), "lr: 0.1\n")
    rows, _ = rows_of("a", "b", "c")
    assert [len(row.runs) for row in rows] == [1, 1, 1]
    shown = report.to_markdown(rows, "test")
    assert shown.count("| LinearHead, LORTLoss [") == 2  # a hash only where nothing else tells them apart
    assert shown.count("**test, made (") == 2


@pytest.mark.parametrize(
    "other",
    [
        {"bn_mode": "train"},
        {"selection": "best_on_test"},
        {"evaluation": {"test": evaluation(0.9) | {"test_time_averaging": "flip"}}},
    ],
    ids=["bn_mode", "selection", "flip"],
)
def test_figures_of_other_protocols_never_meet(write, other):
    write("a", run(0.4))
    write("b", run(0.6, seed=1, **other))
    rows, _ = rows_of("a", "b")
    assert len(rows) == 2
    assert len(list(report.tables(rows, "test"))) == 2
    assert report.to_markdown(rows, "test").count("| | all |") == 2


def test_a_repeated_run_counts_once_the_last_one(write, here):
    for name, value in (("a", 0.4), ("b", 0.6)):
        write(name, run(value), "seed_everything: 0\n")
    os.utime(here / "a/results.json", (1, 1))
    (row,), notes = rows_of(".")
    assert [found.figures["all"] for found in row.runs] == [0.6]
    assert notes == ["1 runs were done again with the same configuration and seed; the last one counts."]


def test_a_pipeline_brings_its_stages_once(write):
    stage = {"test": evaluation(0.5)["accuracy"], "group_sizes": {}}
    record = {**COMMON, "selection": "none: every stage's last epoch", "stages": {"stage1": stage, "lort": stage}}
    write("p", record, "seed_everything: 0\n")
    write("p/lort", run(0.5, bn_mode="train"))
    rows, notes = rows_of("p")
    assert {(row.names[2], row.protocol[2]) for row in rows} == {("stage1", "eval"), ("lort", "train")}
    assert notes == []


def test_comparisons_bring_a_row_per_method(write):
    seeds = [{"seed": seed, "accuracy": {"all": 0.4 + seed / 10}, "ece": 0.2} for seed in range(2)]
    lort = {"selection": "val", "seeds": seeds, "mean": {"all": 0.45}}
    write("c", compared({"lort": lort, "diverged": {"selection": "val", "seeds": []}}))
    write("paper", compared({"lort": {"best_on_test": {"all": 0.6}, "seeds": seeds, "selection": "best_on_test"}}))
    rows, _ = rows_of(".")
    found = {row.protocol[0]: (row.mean("all"), len(row.runs)) for row in rows}
    assert found == {"val": (pytest.approx(0.45), 2), "best_on_test": (0.6, 1)}


def test_what_cannot_be_read_is_named_and_left_out(write):
    write("good", run(0.4))
    write("cut", '{"evaluation": ')
    write("foreign", {"accuracy": 0.9})
    write("list", "[1]")
    write("val", run(0.3, split="val"))
    rows, notes = rows_of(".")
    assert len(rows) == 1
    assert [note.partition(" is ")[2] or note for note in notes[1:3]] == [
        "no results file of this package and is left out."
    ] * 2
    assert notes[0].startswith("cut/results.json cannot be read (")
    assert notes[-1] == "1 runs without figures of the test images are left out; try `--split val`."
    assert rows_of(".", split="val")[0][0].mean("all") == 0.3


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("nowhere", "`folders` names 'nowhere', which does not exist"),
        ("empty", "`folders` names 'empty', below which there is no results.json"),
        ("val", "`folders` val hold nothing to report: none of 1 files below has figures of the test images"),
    ],
)
def test_nothing_to_report_is_one_sentence(write, here, folder, sentence):
    (here / "empty").mkdir()
    write("val", run(0.3, split="val"))
    with pytest.raises(UsageError, match=sentence):
        report.main(["report", folder])


def test_files_are_written_whole_and_replaced_on_request_only(write, here, capsys):
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
    assert "| LinearHead, LORTLoss | 45.0 ± 7.1 |" in (here / "table.md").read_text()
    with pytest.raises(UsageError, match=r"`--output` 'table.md' exists; give another name, or `--overwrite`"):
        report.main(["report", "runs", "--output", "table.md"])
    report.main(["report", "runs", "--output", "table.md", "--overwrite"])
    with pytest.raises(UsageError, match=r"'table.txt' must end in .csv, .md or .json"):
        report.main(["report", "runs", "--output", "table.txt"])
    with pytest.raises(UsageError, match=r"results\.json would be taken for a run's own file"):
        report.main(["report", "runs", "--output", "results.json"])


def test_a_real_run_is_reported(here, tiny, stage1, capsys):
    main(tiny("test", "RepresentationModule", f"--ckpt_path={stage1}"))
    capsys.readouterr()
    cli.main(["report", "runs"])
    shown = capsys.readouterr().out
    assert "test, digits (276 images, 10 classes, 100 to 2; few <8, many >30)," in shown
    assert "LinearHead, CrossEntropyLoss" in shown


def test_it_imports_no_torch():
    code = "import sys; import lt_lightning.report; assert not {'torch', 'numpy', 'yaml'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_stage_1_of_a_comparison_heads_the_table_of_what_was_selected(write, here, capsys):
    start = {"seeds": [{"seed": 0, "accuracy": {"all": 0.25}}], "selection": "none"}
    lort = {"seeds": [{"seed": 0, "accuracy": {"all": 0.5}}], "selection": "val"}
    write("c", compared({"lort": lort, "stage 1": start}))
    report.main(["report", "."])
    shown = capsys.readouterr().out
    assert shown.count("compare") == 1
    assert shown.index("stage 1") < shown.index("lort")


def test_the_hash_that_tells_rows_apart_is_shown(write, here, capsys):
    start = {"seeds": [{"seed": 0, "accuracy": {"all": 0.25}}], "selection": "none"}
    for number in range(40):
        write(f"c{number}", compared({"stage 1": start}) | {"backbone": f"Other{number}"})
    report.main(["report", "."])
    hashes = re.findall(r"stage 1 \[([0-9a-f]{8})\]", capsys.readouterr().out)
    assert len(set(hashes)) == 40  # in brackets, and from a letter on, rich takes text for markup
    assert any(found[0].isalpha() for found in hashes)

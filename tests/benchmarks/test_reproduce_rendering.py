"""The page of the papers' tables beside ours, from made records."""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "benchmarks" / "reproduce.py").exists():
    pytest.skip("the scripts of the source tree are not here", allow_module_level=True)
sys.path.insert(0, str(ROOT / "benchmarks"))

from reproducing.every import FIGURES, TABLES
from reproducing.records import RESULTS, append, read
from reproducing.rendering import protocol_label, render, render_figure, render_table, summary

LAST = {"selection": "last epoch", "test_time_averaging": "none", "precision": "32-true"}
HEADS = {"selection": "last epoch", "views": 20, "bn_mode": "eval", "test_time_averaging": "none"}
MACHINE = {"lt_lightning": "0.1.0", "hardware": "a processor", "threads": 1}


def made(row, column, all_, seed=0, stage1=None, protocol=None, **more):
    """A record; ``all_`` in per cent."""
    groups = {"all": all_ / 100, "many": 0.5, "medium": 0.25, "few": 0.125}
    return {
        "key": {"row": row, "column": column, "mode": "fit", "stage1": "", "stage1_seed": None, "seed": seed},
        "stage1": stage1,
        "seeds": [seed],
        "protocol": protocol or (LAST if stage1 is None else HEADS),
        "accuracy": groups,
        "standard_deviation": None,
        "seconds": 90.0,
        "environment": MACHINE,
        "hashes": {},
        **more,
    }


def on(seed, another=False):
    return {"name": "cifar100_lt/stage1/ce", "seed": seed, "another": another, "backbone": "ResNet32"}


def line(text, start):
    (found,) = [found for found in text.splitlines() if found.startswith(f"| {start} |")]
    return [cell.strip() for cell in found.strip("|").split("|")]


# -- cells -------------------------------------------------------------------------------------------------------------


def test_ours_stands_beside_the_papers_and_empty_cells_stay_empty():
    column = "cifar10_lt_ir100"
    records = [made("CE", column, value, seed) for seed, value in enumerate((70.0, 71.0, 72.0))]
    text, unexplained = render_table(TABLES["elm1"], records, {})
    block = text[text.index("### CIFAR10-LT, ratio 100") :].partition("Not run")[0]
    assert line(block, "CE") == ["CE", "70.71 ± 0.20", "71.00 ± 1.00 (3)"]
    assert line(block, "LDAM + DRW") == ["LDAM + DRW", "77.16 ± 0.33", ""]
    assert "- a: last epoch. a processor, 1 thread; 4.5 minutes for 3 runs; version 0.1.0." in block
    assert "mean ± standard deviation of three runs" in text
    assert "Not run yet: CIFAR10-LT, ratio 10, CIFAR10-Step, ratio 10" in text
    assert unexplained == []


def test_rows_outside_the_spread_get_their_sentence_or_are_named():
    column = "cifar10_lt_ir100"
    # The paper: 70.71 ± 0.20 and 77.16 ± 0.33.
    inside, outside = made("CE", column, 71.1), made("LDAM + DRW", column, 76.4)
    text, unexplained = render_table(TABLES["elm1"], [inside, outside], {})
    assert unexplained == [f"LDAM + DRW | {column}"]
    assert "- LDAM + DRW: 0.76 below the paper. Not explained yet." in text
    assert "- CE:" not in text
    says = {f"LDAM + DRW | {column}": "Re-weighting starts later here."}
    text, unexplained = render_table(TABLES["elm1"], [inside, outside], says)
    assert unexplained == []
    assert "- LDAM + DRW: 0.76 below the paper. Re-weighting starts later here." in text
    # Our own spread counts too.
    wide = [made("LDAM + DRW", column, value, seed) for seed, value in enumerate((75.4, 76.4, 77.4))]
    assert render_table(TABLES["elm1"], wide, {})[1] == []


def test_without_a_printed_spread_the_test_set_gives_one():
    # 99.15 % of 10,000 images: a standard error of 0.092.
    assert render_table(TABLES["lgl3"], [made("CNN2C, LGL", "mnist", 99.32)], {})[1] == []
    text, unexplained = render_table(TABLES["lgl3"], [made("CNN2C, LGL", "mnist", 99.35)], {})
    assert unexplained == ["CNN2C, LGL | mnist"]
    assert "- CNN2C, LGL: 0.20 above the paper." in text


def test_another_stage1_is_labelled_and_never_outside():
    (column,) = TABLES["lort1"].columns
    records = [
        made("Focal", column.name, 42.0, stage1=on(None, another=True)),
        made("Focal", column.name, 50.0, stage1=on(0)),
    ]
    text, unexplained = render_table(TABLES["lort1"], records, {})
    groups = "50.00 / 25.00 / 12.50"
    assert line(text, "Focal") == [
        "Focal",
        "50.94 / 78.00 / 49.97 / 20.50",
        f"42.00 / {groups}",
        f"50.00 / {groups}",
    ]
    assert unexplained == []
    assert "- a: last epoch, features of 20 views, BatchNorm in evaluation mode, another stage 1 (ResNet32)." in text
    assert "- b: last epoch, features of 20 views, BatchNorm in evaluation mode." in text
    assert "stage 1 and features not counted" in text


@pytest.mark.parametrize(
    ("stage1", "protocol", "label"),
    [
        (None, LAST, "last epoch"),
        (None, LAST | {"test_time_averaging": "flip"}, "last epoch, flip-averaged"),
        (None, LAST | {"precision": "bf16-mixed"}, "last epoch, bf16-mixed"),
        (on(0), HEADS | {"views": 1}, "last epoch, features of 1 view, BatchNorm in evaluation mode"),
        (
            on(0),
            {"selection": "best_on_test", "views": "images", "bn_mode": "train", "test_time_averaging": "flip"},
            "best on test, as the papers do, flip-averaged, on images, BatchNorm in training mode",
        ),
        (
            on(0),
            HEADS | {"selection": "val"},
            "settings chosen on validation images, features of 20 views, BatchNorm in evaluation mode",
        ),
    ],
)
def test_a_protocol_has_a_column_of_its_own(stage1, protocol, label):
    assert protocol_label(made("x", "y", 1.0, stage1=stage1, protocol=protocol)) == label


# -- several runs ------------------------------------------------------------------------------------------------------


def test_both_parts_of_the_variance():
    figures = {0: (50.0, 52.0), 1: (54.0, 56.0), 2: (58.0, 60.0)}
    records = [
        made("LORT", "c", value, seed, stage1=on(s1))
        for s1, values in figures.items()
        for seed, value in enumerate(values)
    ]
    center, deviation, words = summary(records, "all")
    assert center == pytest.approx(55.0)
    assert words == "± 4.00 between, ± 1.41 within (3 × 2)"
    assert deviation == pytest.approx((16 + 2) ** 0.5)
    assert summary(records[:1], "all") == (pytest.approx(50.0), None, "")
    assert summary(records[:2], "all")[2] == "± 1.41 (2)"
    assert summary(records[::2], "all")[2] == "± 4.00 (3)"  # one seed of stage 2 on each: nothing within
    assert summary(records[:5], "all")[2].endswith("(3 × 1 to 2)")
    assert summary([], "all") is None


def test_a_mean_that_is_a_record_itself_keeps_its_spread():
    several = made("LORT", "c", 44.0, seeds=[0, 1, 2, 3, 4], standard_deviation={"all": 0.002})
    fewer = made("LORT", "c", 43.0, seeds=[0, 1], standard_deviation={"all": 0.01})
    assert summary([fewer, several], "all") == (pytest.approx(44.0), pytest.approx(0.2), "± 0.20 (5)")
    best = made("LORT", "c", 45.0, seeds=[0, 1, 2], aggregation="best of 3 seeds")
    assert summary([best], "all")[1:] == (None, "(best of 3 seeds)")


def test_the_papers_aggregation_stands_beside_the_mean():
    records = [made("CE", "cifar100_ir100", value, seed) for seed, value in enumerate((38.0, 39.0))]
    block = render_table(TABLES["lort2"], records, {})[0].partition("Not run")[0]
    assert line(block, "CE")[-1] == "38.50 ± 0.71 (2), best 39.00"


# -- the page ----------------------------------------------------------------------------------------------------------


def test_the_page_of_no_records_has_every_table(tmp_path):
    text, unexplained = render(tmp_path)
    assert unexplained == []
    for table in [*TABLES.values(), *FIGURES.values()]:
        assert f"## {table.title}\n" in text
    assert "## Not here: dlr2" in text
    for reason in ("ImageNet-LT (images)", "Places-LT (images)", "ImageNet-LT, iNaturalist 2018 (images)"):
        assert f"Not run for want of data: {reason}." in text
    assert "Not run for want of data: CIFAR-10 (all training images of CIFAR-10" in text
    assert line(text, "Sim1 | 1/2 | 1/2") == ["Sim1", "1/2", "1/2", "10", "10.05 ± 1.13", ""]
    widths = {len(row.split("|")) for row in re.findall(r"(?m)^\| the paper .*$", text)}
    assert widths == {3 + count for count in (1, 2, 3, 5, 7, 8)}


def test_earlier_measurements_find_their_rows():
    text, _ = render(RESULTS)
    lort1 = text[text.index("## LORT, Table 1") : text.index("## LORT, Table 2")]
    stage1 = line(lort1, "stage 1 as it is")
    assert stage1[1] == ""  # the paper has no such row
    assert stage1[2].startswith("39.30 / 70.71 / 38.77 / 3.27")
    assert line(lort1, "LORT")[2].startswith("43.97 / 59.27 / 49.59 / 19.55 ± 0.01 (5)")
    assert "another stage 1 (ResNet32)" in lort1
    lort2 = text[text.index("## LORT, Table 2") : text.index("## LORT, Table 3")]
    assert line(lort2.partition("Not run")[0], "LORT")[1] == "54.90"
    assert "10.10 ± 1.09" in text


def test_the_committed_page_is_that_of_the_committed_records():
    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == render(RESULTS)[0]


def test_notes_speak_of_cells_that_are_there():
    notes = json.loads((RESULTS / "notes.json").read_text())
    for name, sentences in notes.items():
        known = {f"{cell.row} | {cell.column}" for cell in TABLES[name].cells}
        assert set(sentences) <= known


def test_a_figure_shows_its_points():
    points = [{"point": {"delta": delta}, "mean": value} for delta, value in ((0.0, 0.4), (0.98, 0.45))]
    record = made("lort", "grid", 44.0, stage1=on(0), points=points, chosen={"delta": 0.98})
    other = made(
        "lort", "grid", 46.0, stage1=on(1), points=[points[0], {**points[1], "mean": 0.47}], chosen={"delta": 0.98}
    )
    text = render_figure(FIGURES["lort_fig4"], [record, other])
    assert line(text, "0.98") == ["0.98", "46.00"]
    assert line(text, "0") == ["0", "40.00"]
    assert "Chosen: delta 0.98; on test images 45.00." in text


def test_records_are_appended(tmp_path):
    append(tmp_path, "lgl3", [made("CNN2C, LGL", "mnist", 99.0)])
    append(tmp_path, "lgl3", [])
    append(tmp_path, "lgl3", [made("CNN2C, SML", "mnist", 99.1)])
    assert [record["key"]["row"] for record in read(tmp_path, "lgl3")] == ["CNN2C, LGL", "CNN2C, SML"]
    text, _ = render(tmp_path)
    assert "| CNN2C, SML | 99.09 | 99.10 |" in text

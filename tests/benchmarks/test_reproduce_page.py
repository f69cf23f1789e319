"""The page of the papers' tables beside ours."""

import json
import re
from pathlib import Path

from reproducing.every import FIGURES, TABLES
from reproducing.page import render
from reproducing.records import RESULTS

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_of_no_records_has_every_table(tmp_path, line):
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


def test_earlier_measurements_find_their_rows(line):
    text, _ = render(RESULTS)
    lort1 = text[text.index("## LORT, Table 1") : text.index("## LORT, Table 2")]
    stage1 = line(lort1, "stage 1 as it is")
    assert stage1[1] == ""  # the paper has no such row
    assert sum(cell.startswith("39.30 / 70.71 / 38.77 / 3.27") for cell in stage1) == 3
    assert "43.97 / 59.27 / 49.59 / 19.55 ± 0.01 (5)" in line(lort1, "LORT")
    assert "another stage 1 (ResNet32)" in lort1
    lort2 = text[text.index("## LORT, Table 2") : text.index("## LORT, Table 3")]
    assert line(lort2.partition("Not run")[0], "LORT")[1] == "54.90"
    assert "10.10 ± 1.09" in text


def test_the_committed_page_is_that_of_the_committed_records():
    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == render(RESULTS)[0]


def test_notes_speak_of_cells_that_are_there():
    notes = json.loads((RESULTS / "notes.json").read_text())
    for name, sentences in notes.items():
        known = {f"{cell.row} | {cell.column}" for cell in TABLES[name].cells} if name in TABLES else {"grid"}
        assert set(sentences) <= known

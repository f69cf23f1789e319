"""Tables for the terminal."""

import re

from lt_lightning import report


def test_stage_1_of_a_comparison_heads_the_table_of_what_was_selected(write, compared, capsys):
    start = {"seeds": [{"seed": 0, "accuracy": {"all": 0.25}}], "selection": "none"}
    lort = {"seeds": [{"seed": 0, "accuracy": {"all": 0.5}}], "selection": "val"}
    write("c", compared({"lort": lort, "stage 1": start}))
    report.main(["report", "."])
    shown = capsys.readouterr().out
    assert shown.count("compare") == 1
    assert shown.index("stage 1") < shown.index("lort")


def test_the_hash_that_tells_rows_apart_is_shown(write, compared, capsys):
    start = {"seeds": [{"seed": 0, "accuracy": {"all": 0.25}}], "selection": "none"}
    for number in range(40):
        write(f"c{number}", compared({"stage 1": start}, backbone=f"Other{number}"))
    report.main(["report", "."])
    hashes = re.findall(r"stage 1 \[([0-9a-f]{8})\]", capsys.readouterr().out)
    assert len(set(hashes)) == 40  # in brackets, and from a letter on, rich takes text for markup
    assert any(found[0].isalpha() for found in hashes)


def test_a_folder_with_brackets_in_its_name_is_shown_as_it_is(write, run, capsys):
    write("a", run(0.4, data={"dataset": "photos [cats]"}))
    report.main(["report", "."])
    assert "test, photos [cats] (" in capsys.readouterr().out

"""Tables say what an empty group is."""

import io

from rich.console import Console

from lt_lightning.tables import accuracy_table, fits, percent, show


def test_percent():
    assert percent(0.12345) == "12.3"
    assert percent(float("nan")) == "–"
    assert percent(None) == "–"


def test_table_names_groups_sizes_and_thresholds():
    accuracy = {"all": 0.5, "many": 0.75, "medium": 0.25, "few": float("nan"), "micro": 0.6}
    table = accuracy_table("a title", [("method", accuracy)], {"many": 3, "medium": 2, "few": 0}, (20, 100))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table)
    text = console.export_text()
    for expected in ("a title", "many (>100)", "few (<20)", "5 classes", "0 classes", "75.0", "–", "method"):
        assert expected in text


def test_names_in_brackets_are_shown_as_they_are(capsys):
    show(accuracy_table("of [mine]", [("lort[b]", {"all": 1.0})], {"many": 1, "medium": 0, "few": 0}, (20, 100)))
    shown = capsys.readouterr().out
    assert "of [mine]" in shown
    assert "lort[b]" in shown


def test_show_prints(capsys):
    show(accuracy_table("t", [("row", {"all": 1.0})], {"many": 1, "medium": 0, "few": 0}, (20, 100)))
    assert "100.0" in capsys.readouterr().out


def test_a_file_gets_a_table_as_wide_as_it_is(capsys):
    name = "a_name_of_one_word_that_is_longer_than_a_terminal_" * 3
    show(accuracy_table("t", [(name, {"all": 1.0})], {"many": 1, "medium": 0, "few": 0}, (20, 100)))
    assert name in capsys.readouterr().out


def test_what_fits_a_terminal(monkeypatch):
    table = accuracy_table("t", [("row", {"all": 1.0})], {"many": 1, "medium": 0, "few": 0}, (20, 100))
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert fits(table)  # the output is a file here
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not fits(table)
    monkeypatch.setenv("COLUMNS", "100")
    assert fits(table)

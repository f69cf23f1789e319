"""Tables say what an empty group is."""

import io
import os
from contextlib import redirect_stdout, suppress

import pytest
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

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


@pytest.mark.parametrize("columns", [20, 40, 60, 80])
def test_a_narrow_terminal_shows_every_digit_and_every_letter(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("FORCE_COLOR", "1")
    accuracy = {"all": 0.8432, "many": 0.9123, "medium": 0.5432, "few": 0.1234, "micro": 0.7654}
    rows = [("class_balanced_sigmoid", accuracy), ("stage 1 of two", accuracy)]
    show(accuracy_table("t", rows, {"many": 30, "medium": 35, "few": 35}, (20, 100)))
    shown = Text.from_ansi(capsys.readouterr().out).plain
    assert "…" not in shown
    for expected in ("84.3", "91.2", "54.3", "12.3", "76.5"):
        assert shown.count(expected) == 2
    assert "class_balanced_sigmoid" in shown


def test_a_table_that_can_be_narrower_is_no_wider_than_the_terminal(monkeypatch, capsys):
    """Names that may be broken give way first, then the space within a figure."""
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("FORCE_COLOR", "1")
    table = Table("name", Column("all", justify="right"), Column("few", justify="right", no_wrap=True))
    table.columns[0].overflow = "fold"
    table.add_row("a_name_of_one_word_that_is_longer_than_a_terminal", "84.3 ± 0.1", "12.3 ± 4.5")
    show(table)
    shown = Text.from_ansi(capsys.readouterr().out).plain
    assert max(map(len, shown.splitlines())) == 50
    assert "84.3 ± 0.1" in shown
    assert "12.3 ± 4.5" in shown


def test_a_reader_that_has_gone_is_an_error_and_no_silent_end():
    reader, writer = os.pipe()
    os.close(reader)
    table = accuracy_table("t", [("row", {"all": 1.0})], {"many": 1, "medium": 0, "few": 0}, (20, 100))
    with os.fdopen(writer, "w", buffering=1) as file, suppress(BrokenPipeError):
        with redirect_stdout(file), pytest.raises(BrokenPipeError):
            show(table)
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)  # for what is left in the buffer

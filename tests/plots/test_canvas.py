"""Figures and files."""

import sys

import pytest

from lt_lightning.errors import UsageError
from lt_lightning.plots.canvas import new_figure, save
from lt_lightning.plots.grid import grid_figure
from lt_lightning.plots.tail import tail_figure


def test_long_titles_are_wrapped():
    figure, axes = new_figure("one\n" + "word " * 60, rows=2, columns=3, size=(1.0, 1.0))
    assert axes.shape == (2, 3)
    lines = figure.get_suptitle().splitlines()
    assert lines[0] == "one"
    assert max(map(len, lines)) <= 42


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_files_are_of_the_format_of_their_name(ending, start, tmp_path):
    figure, _ = new_figure("title")
    save(figure, tmp_path / "new" / f"file.{ending}")
    assert (tmp_path / "new" / f"file.{ending}").read_bytes().startswith(start)
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_dollars_in_names_are_no_formulas(made_row, tmp_path):
    tried = [{"point": {"lr": rate}, "mean": 0.5} for rate in (1, 2)]
    for kind in (tail_figure, grid_figure):
        save(kind("data $x_$", ["$y_$"], [made_row(tried=tried)]), tmp_path / "figure.svg", True)
        assert "</svg>" in (tmp_path / "figure.svg").read_text()


def test_long_names_leave_axes_their_room(made_row, tmp_path):
    widths = []
    for name in ("short", 5 * "LinearHead + LORTLoss "):
        figure = tail_figure("title", [name], [made_row()])
        save(figure, tmp_path / "figure.png", overwrite=True)
        widths.append(figure.axes[0].get_window_extent().width / figure.dpi)
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


def test_a_folder_that_takes_no_files_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    figure, _ = new_figure("title")
    with pytest.raises(UsageError, match=r"`--output` .*file/tail\.png' cannot be written"):
        save(figure, tmp_path / "file" / "tail.png")


def test_a_figure_that_appears_meanwhile_stays(tmp_path):
    figure, _ = new_figure("title")
    (tmp_path / "tail.png").write_text("theirs")
    with pytest.raises(UsageError, match=r"`--output` .*tail\.png' already exists"):
        save(figure, tmp_path / "tail.png")
    assert (tmp_path / "tail.png").read_text() == "theirs"


def test_without_matplotlib_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r'`pip install "lt_lightning\[plot\]"`'):
        new_figure("title")

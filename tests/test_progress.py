"""A bar that only a terminal shows, and one process of several."""

from contextlib import redirect_stdout
from io import StringIO

import pytest
from lightning.pytorch.utilities import rank_zero_only

from lt_lightning.progress import progress_bar
from tests.two_processes import in_two_processes


def drawn(shown=True):
    """Whether there is a bar, had the output the colours of a terminal."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as output:
        patch.setenv("FORCE_COLOR", "1")
        patch.setenv("TERM", "xterm")
        with progress_bar("work", 3, shown) as advance:
            advance(1)
    return "work" in output.getvalue()


def drawn_in_group(rank):
    return drawn()


@pytest.mark.parametrize("shown", [True, False])
def test_a_file_gets_nothing_at_all(shown, capsys):
    with progress_bar("work", 3, shown) as advance:
        advance(3)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("shown", "rank", "visible"), [(True, 0, True), (False, 0, False), (True, 1, False)])
def test_the_first_process_shows_it_before_there_is_a_group(shown, rank, visible, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", rank)
    assert drawn(shown) == visible


def test_the_first_process_of_a_group_shows_it(tmp_path):
    assert in_two_processes(drawn_in_group, tmp_path) == (True, False)

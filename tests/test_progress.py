"""A bar on a terminal, lines in a file, and one process of several that shows them."""

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


@pytest.fixture
def clock(monkeypatch):
    """Seconds that have passed, of which a test decides."""
    passed = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: passed[0])
    return passed


def told(clock, capsys, seconds, total=4480, steps=40.0, times=4, shown=True):
    """Lines of a file, where so many steps come so many times, each after some seconds."""
    with progress_bar("epochs", total, shown) as advance:
        for _ in range(times):
            clock[0] += seconds
            advance(steps)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("shown", [True, False])
def test_a_file_gets_nothing_of_what_is_soon_over(shown, clock, capsys):
    assert told(clock, capsys, 7, total=160, shown=shown) == []


def test_a_file_gets_a_line_with_the_time_that_is_left_twice_a_minute(clock, capsys):
    assert told(clock, capsys, 10, times=7) == [
        "epochs: 120 of 4,480, about 18.2 minutes left",
        "epochs: 240 of 4,480, about 17.7 minutes left",
    ]


def test_the_first_line_does_not_wait_for_a_whole_step(clock, capsys):
    assert told(clock, capsys, 15, steps=1 / 1000, times=2) == ["epochs: 0 of 4,480, about 18666.7 hours left"]


def test_parts_add_up_to_whole_steps(clock, capsys):
    assert sum(10 * [0.1]) < 1
    assert told(clock, capsys, 3, steps=0.1, times=10)[0].startswith("epochs: 1 of 4,480")


def test_what_is_over_has_no_time_left(clock, capsys):
    assert told(clock, capsys, 60, total=4, steps=2, times=2) == ["epochs: 2 of 4, about 60 s left"]
    assert told(clock, capsys, 30, total=1, steps=0.1, times=10)[8:] == ["epochs: 0 of 1, about 30 s left"]


def test_of_a_length_that_nobody_knows_no_time_is_said(clock, capsys):
    assert told(clock, capsys, 30, total=None, times=2) == ["epochs: 40", "epochs: 80"]


def test_other_processes_and_who_wants_none_say_nothing(clock, capsys, monkeypatch):
    assert told(clock, capsys, 60, shown=False) == []
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert told(clock, capsys, 60) == []


@pytest.mark.parametrize(("shown", "rank", "visible"), [(True, 0, True), (False, 0, False), (True, 1, False)])
def test_the_first_process_shows_it_before_there_is_a_group(shown, rank, visible, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", rank)
    assert drawn(shown) == visible


def test_the_first_process_of_a_group_shows_it(tmp_path):
    assert in_two_processes(drawn_in_group, tmp_path) == (True, False)

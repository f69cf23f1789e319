"""A bar that only a terminal shows."""

import pytest

from lt_lightning.features import progress


class Terminal:
    is_terminal = True


@pytest.mark.parametrize("shown", [True, False])
def test_a_file_gets_nothing_at_all(shown, capsys):
    with progress.progress_bar("work", 3, shown) as advance:
        advance(3)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("shown", "rank", "visible"), [(True, 0, True), (False, 0, False), (True, 1, False)])
def test_the_first_process_shows_it_on_a_terminal(shown, rank, visible, monkeypatch, capsys):
    monkeypatch.setattr(progress, "Console", Terminal)
    monkeypatch.setattr(progress, "rank_and_world_size", lambda: (rank, 2))
    with progress.progress_bar("work", 3, shown) as advance:
        advance(1)
    assert bool(capsys.readouterr().out) == visible


@pytest.mark.parametrize(
    ("views", "wanted", "said"),
    [
        (4, True, "features of train: about 15.0 minutes; `views` 1 would take 3.8 minutes\n"),
        (1, True, "features of train: about 15.0 minutes\n"),
        (4, False, ""),
    ],
)
def test_how_long_it_will_be_is_said_once(monkeypatch, capsys, views, wanted, said):
    clock = iter(range(0, 900, 9))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    foresight = progress.Foresight("features of train", 1000, views, wanted)
    for _ in range(50):
        foresight.advance(10)
    assert capsys.readouterr().out == said


def test_a_short_extraction_needs_no_word(monkeypatch, capsys):
    clock = iter(range(0, 900, 9))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    foresight = progress.Foresight("features of train", 100, 4, True)
    for _ in range(10):
        foresight.advance(10)
    assert capsys.readouterr().out == ""

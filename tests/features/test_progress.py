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

"""How long an extraction will take."""

import pytest

from lt_lightning.features.foresight import Foresight


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
    foresight = Foresight("features of train", 1000, views, wanted)
    for _ in range(50):
        foresight.advance(10)
    assert capsys.readouterr().out == said


def test_a_short_extraction_needs_no_word(monkeypatch, capsys):
    clock = iter(range(0, 900, 9))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    foresight = Foresight("features of train", 100, 4, True)
    for _ in range(10):
        foresight.advance(10)
    assert capsys.readouterr().out == ""

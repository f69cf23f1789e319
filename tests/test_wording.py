import pytest

from lt_lightning.wording import duration, first_few, human, settings_of, some


def test_long_lists_are_cut():
    assert some(["a", "b"]) == "'a', 'b'"
    assert some(["a", "b", "c"], most=1) == "'a' and 2 more"
    assert some([]) == ""
    assert first_few(["a", "b", "c"], most=2) == "a, b and 1 more"


@pytest.mark.parametrize(
    ("nbytes", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (2_500, "2.5 kB"), (3.6e10, "36.0 GB"), (1e16, "10000.0 TB")],
)
def test_sizes_in_words(nbytes, words):
    assert human(nbytes) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (80, "80 s"), (300, "5.0 minutes"), (5400, "1.5 hours"), (90000, "25.0 hours")]
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


def test_settings_are_what_a_class_takes_and_keeps():
    class Part:
        def __init__(self, counts, tau=1.0, name="x", gap=None):
            self.counts, self.tau, self.gap = counts, tau, gap

    assert settings_of(Part([3, 2])) == "tau=1.0"
    assert settings_of(Part([3, 2], tau=2, gap=0.5)) == "tau=2, gap=0.5"

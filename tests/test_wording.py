import pytest

from lt_lightning.wording import (
    did_you_mean,
    duration,
    filling,
    first_few,
    human,
    kind,
    numbers,
    one_line,
    plain_settings,
    settings_of,
    some,
)


def test_long_lists_are_cut():
    assert some(["a", "b"]) == "'a', 'b'"
    assert some(["a", "b", "c"], most=1) == "'a' and 2 more"
    assert some([]) == ""
    assert first_few(["a", "b", "c"], most=2) == "a, b and 1 more"


def test_what_to_do_about_classes_without_images():
    assert filling([0]).endswith("if your labels start at 1, number them from 0")
    assert filling([3]) == "give class 3 a training image, or leave it out of the classes and number the others anew"
    assert filling([0, *range(3, 9)]).startswith(
        "give classes 0, 3, 4, 5, 6 and 2 more a training image each, or leave"
    )


def test_of_a_number_for_each_of_many_classes_those_that_are_wrong_are_named():
    assert numbers([3, 0.5, "x"], [2]) == "[3, 0.5, 'x']"
    assert numbers([], []) == "[]"
    assert numbers([7] * 11, []) == "11 numbers"
    assert numbers([7] * 8142, [2, 8141]) == "8142 numbers, among them 7 for class 2, 7 for class 8141"
    assert numbers([0.5] * 99, range(99)).endswith("0.5 for class 3, 0.5 for class 4 and 94 more")
    assert len(numbers([[1] * 8142] * 8142, range(8142))) < 300


def test_names_that_a_misspelt_one_is_close_to():
    assert did_you_mean("lrot", ["lort", "lws", "ncm"]) == "did you mean lort?"
    assert did_you_mean("head_1", (f"head_{number}" for number in range(2, 9))).count(" or ") == 2
    assert did_you_mean("zzz", ["lort"]) == ""
    assert did_you_mean("zzz", ["lort"], cutoff=0) == "did you mean lort?"


def test_an_error_of_several_lines_as_one():
    assert one_line(ValueError("no\n  such\tfile ")) == "no such file"
    assert one_line("no such file", 4) == "no s"


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

    assert plain_settings(Part([3, 2])) == {"tau": 1.0}
    assert settings_of(Part([3, 2])) == "tau=1.0"
    assert settings_of(Part([3, 2], tau=2, gap=0.5)) == "tau=2, gap=0.5"


def test_what_was_given_in_place_of_something_else():
    assert kind({"image": 1, 2: 3}) == "a dictionary with 'image', '2'"
    assert kind({}) == "a dictionary with nothing in it"
    assert kind([1, "a"]) == "a list of int, str"
    assert kind([()] * 100) == "a list of tuple, tuple, tuple and 97 more"
    assert kind(()) == "a tuple of nothing"
    assert kind(1.5) == "a float"
    assert kind(None) == "nothing"

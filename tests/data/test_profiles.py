import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lt_lightning.data.profiles import check_complete, class_counts, complete_counts
from lt_lightning.errors import UsageError

GOLDEN = json.loads((Path(__file__).parent / "golden_profiles.json").read_text())


@pytest.mark.parametrize("case", GOLDEN, ids=lambda c: f"{c['profile']}-{c['num_classes']}-{c['imbalance_ratio']}")
def test_counts_equal_the_reference(case):
    counts = class_counts(case["profile"], case["num_classes"], case["max_count"], case["imbalance_ratio"])
    assert counts == case["counts"]
    assert sum(counts) == case["total"]


@given(st.sampled_from(["exponential", "step"]), st.integers(2, 200), st.integers(1, 6000), st.floats(1, 500))
def test_counts_fall_from_the_largest_to_the_smallest(profile, num_classes, max_count, ratio):
    try:
        counts = class_counts(profile, num_classes, max_count, ratio)
    except UsageError:
        assert max_count / ratio < 1 + 1e-9
        return
    assert len(counts) == num_classes
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == max_count
    assert abs(counts[-1] - int(max_count / ratio)) <= 1
    assert counts[-1] >= 1


def test_no_profile_means_equal_counts():
    assert class_counts("none", 3, 7, 100) == [7, 7, 7]


def test_a_complete_set_keeps_its_counts():
    assert complete_counts((5, 7, 4), 0) == [5, 7, 4]
    assert complete_counts((5, 7, 4), 3) == [2, 4, 1]
    check_complete([5, 7, 4], (5, 7, 4), "three")


def test_a_complete_set_keeps_an_image_of_each_class():
    message = r"`val_per_class` 4 leaves class 2 without a training image, as it has 4; choose a smaller one"
    with pytest.raises(UsageError, match=message):
        complete_counts((5, 7, 4), 4)


def test_the_step_of_an_odd_number_of_classes_leaves_the_middle_one_small():
    assert class_counts("step", 5, 100, 10) == [100, 100, 10, 10, 10]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Step", 10, 10, 2), r"`profile` must be one of exponential, step, none, but got 'Step'\."),
        (("exponential", 1, 10, 2), r"`num_classes` must be at least 2, but got 1\."),
        (("exponential", 10, 0, 2), r"`max_count` must be at least 1, but got 0\."),
        (("step", 10, 10, 0.5), r"`imbalance_ratio` must be a number of at least 1, but got 0\.5\."),
        (("step", 10, 10, float("nan")), r"`imbalance_ratio` must be a number of at least 1, but got nan\."),
        (("step", 10, 10, float("inf")), r"`imbalance_ratio` must be a number of at least 1, but got inf\."),
        (
            ("step", 10, 10, 20),
            r"`imbalance_ratio` 20 leaves class 5 without an image when the largest class has 10; choose a ratio below",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        class_counts(*arguments)

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lt_lightning.data.profiles import check_complete, class_counts, complete_counts, remedy
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
    check_complete("three", [2, 4, 1], [2, 4, 1])


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (
            lambda: complete_counts((5, 7, 4), 4),
            r"`val_per_class` 4 leaves class 2 without a training image, as it has 4; choose a smaller one",
        ),
        (
            lambda: check_complete("three", [5, 6, 4], [5, 7, 4]),
            r"complete takes all images of three, 7 of class 1 beside those held out, but the files have 6; use",
        ),
        (lambda: check_complete("three", [5, 8, 4], [5, 7, 4]), r"7 of class 1 beside .*, but the files have 8"),
    ],
)
def test_what_is_not_the_complete_set_is_refused(refused, message):
    with pytest.raises(UsageError, match=message):
        refused()


def test_the_step_of_an_odd_number_of_classes_leaves_the_middle_one_small():
    assert class_counts("step", 5, 100, 10) == [100, 100, 10, 10, 10]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
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


@given(
    st.sampled_from(["exponential", "step"]),
    st.lists(st.integers(0, 400), min_size=2, max_size=12),
    st.integers(2, 500),
    st.integers(1, 100),
)
def test_the_remedy_fits_and_is_the_smallest_change(profile, available, max_count, ratio):
    def fits(largest: int, chosen: int) -> bool:
        try:
            counts = class_counts(profile, len(available), largest, chosen)
        except UsageError:
            return False
        return all(n <= a for n, a in zip(counts, available, strict=True))

    text = remedy(profile, available, max_count, ratio)
    if match := re.search(r"`imbalance_ratio` of at least (\d+)", text):
        assert fits(max_count, int(match[1]))
        assert int(match[1]) == ratio or not fits(max_count, int(match[1]) - 1)
    else:
        assert not any(fits(max_count, r) for r in range(ratio, max_count))
    if match := re.search(r"`max_count` of at most (\d+)", text):
        assert fits(int(match[1]), ratio)
        assert int(match[1]) == max_count or not fits(int(match[1]) + 1, ratio)
    else:
        assert not any(fits(m, ratio) for m in range(1, max_count + 1))
    assert text.startswith(("choose ", "use a data set"))

"""Checks of numbers that a user gives."""

from math import inf, nan

import pytest

from lt_lightning.errors import UsageError, check_above_0, check_at_least_0


@pytest.mark.parametrize(
    ("check", "value", "sentence"),
    [
        (check_at_least_0, -0.5, r"`gamma` must be at least 0, but got -0\.5\."),
        (check_above_0, 0.0, r"`gamma` must be above 0, but got 0\.0\."),
        (check_above_0, nan, r"`gamma` must be a finite number, but got nan\."),
        (check_at_least_0, inf, r"`gamma` must be a finite number, but got inf\."),
    ],
)
def test_a_number_out_of_range_is_refused_by_its_name(check, value, sentence):
    with pytest.raises(UsageError, match=sentence):
        check(tau=1.0, gamma=value)


def test_the_ends_of_ranges():
    check_at_least_0(tau=0.0, epochs=0, alpha=None)
    check_above_0(tau=1e-9, epochs=1)

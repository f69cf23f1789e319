"""Portions of what is too much at once."""

import pytest

from lt_lightning.retraining.portions import portions


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([], []), ([9], [[9]]), ([1, 2, 1, 2, 2, 5, 1], [[1, 2, 1], [2, 2], [5], [1]])],
)
def test_as_many_as_fit_and_one_at_least(sizes, expected):
    assert list(portions(sizes, int, 4)) == expected

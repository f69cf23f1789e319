"""What weights have been trained on, of records; tests/modules/test_past.py has what runs record."""

import pytest

from lt_lightning.checkpoints.past import (
    PUBLISHED,
    UNKNOWN,
    distinct,
    known_of_images,
    origins,
    past_of,
    trained_on,
    training_images,
)

SPLIT = {"hashes": {"train": "abc", "val": "def"}}
ABC = {"weights": "file", "train": "abc"}


NO_HASH = [None, 3, {}, {"hashes": None}, {"hashes": {"val": "def"}}, {"hashes": {"train": ""}}]


@pytest.mark.parametrize("split", NO_HASH)
def test_a_record_without_a_hash_says_nothing(split):
    assert training_images(split) is None
    assert trained_on(split) == UNKNOWN


def test_the_last_training_comes_first_and_each_entry_once():
    assert origins(SPLIT, [PUBLISHED, ABC, PUBLISHED]) == [ABC, PUBLISHED]
    assert origins(None, []) == [UNKNOWN]
    assert distinct([ABC, PUBLISHED, ABC], PUBLISHED) == [ABC]


def test_of_a_file_without_a_record_the_past_is_unknown():
    assert past_of({}) == past_of({"past": "none"}) == [UNKNOWN]
    assert past_of({"past": []}) == []  # trained from random weights
    assert past_of({"past": (ABC, "no entry")}) == [ABC]


def test_a_past_that_is_changed_leaves_the_record_as_it_was():
    record = {"past": [dict(ABC)]}
    past_of(record)[0]["train"] = "other"
    past_of({})[0]["train"] = "other"
    assert record["past"] == [ABC]
    assert UNKNOWN["train"] is None


def test_what_tells_images_is_taken_from_a_record_of_a_split():
    told = SPLIT | {"hash_of": "pixels"}
    assert known_of_images(told | {"sizes": {"train": 3}}) == told
    assert known_of_images(None) == {}

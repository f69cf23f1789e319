"""Extractions that find room one by one and not together."""

import shutil

import pytest

from lt_lightning.data import DigitsLT
from lt_lightning.errors import UsageError
from lt_lightning.features import extract
from lt_lightning.features.room import check_room


@pytest.fixture
def wanted():
    """3 views of 276 training images and 1 of 500 test images, 8 numbers of 4 bytes each: 26,496 and 16,000 bytes."""
    data = DigitsLT(crop_padding=1)
    return [(data, "train", 3), (data, "test", 1)]


@pytest.fixture
def free(monkeypatch):
    def make(number):
        usage = shutil.disk_usage(".")._replace(free=number)
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)

    return make


def test_together_they_are_held_against_the_disk(counting, wanted, options, free, tmp_path):
    free(42_496)
    check_room(counting, wanted, 0, options(cache=True))
    free(42_495)
    sentence = r"`cache` '.*cache' needs 42.5 kB for the features of 1,328 views of images, but has 42.5 kB free; make"
    with pytest.raises(UsageError, match=sentence):
        check_room(counting, wanted, 0, options(cache=True))
    assert counting.passes == 0
    assert not list(tmp_path.iterdir())


def test_what_is_there_needs_no_room(counting, wanted, options, free):
    extract(counting, *wanted[0], options=options(cache=True))
    free(16_000)
    check_room(counting, wanted, 0, options(cache=True))
    for seed, number in ((0, 15_999), (1, 42_495)):  # of another seed there is nothing
        free(number)
        with pytest.raises(UsageError, match="make room"):
            check_room(counting, wanted, seed, options(cache=True))


def test_what_an_interrupted_run_has_left_needs_none_either(counting, wanted, options, free):
    counting.__class__.fails_after = 2  # blocks of 256 and 20 images: one view of three
    with pytest.raises(KeyboardInterrupt):
        extract(counting, *wanted[0], options=options(cache=True, batch_size=256))
    free(2 * 276 * 8 * 4 + 16_000)
    check_room(counting, wanted, 0, options(cache=True))
    free(2 * 276 * 8 * 4 + 15_999)
    with pytest.raises(UsageError, match="make room"):
        check_room(counting, wanted, 0, options(cache=True))


def test_a_folder_of_which_nobody_tells_is_left_to_the_extraction(counting, wanted, options, monkeypatch):
    def closed(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(shutil, "disk_usage", closed)
    check_room(counting, wanted, 0, options(cache=True))


def test_without_a_folder_memory_counts(counting, wanted, options, monkeypatch):
    monkeypatch.setattr("lt_lightning.features.memory.available_memory", lambda: 42_495)
    with pytest.raises(UsageError, match=r"`features.cache` is empty, so features are kept in memory, and 42.5 kB"):
        check_room(counting, wanted, 0, options())

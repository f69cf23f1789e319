"""Checks of what a user gives, and what the system refuses."""

import errno
import os
from abc import ABC, abstractmethod
from functools import partial
from math import inf, nan
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser

from lt_lightning.errors import (
    UsageError,
    check_above_0,
    check_at_least_0,
    check_at_least_1,
    check_begun,
    check_is_finite,
    check_makes,
    check_share,
    check_thresholds,
    check_word,
    checked_counts,
    refusal,
    refusing_abstract_classes,
    refusing_unbegun_modules,
)


@pytest.mark.parametrize(
    ("check", "value", "sentence"),
    [
        (check_at_least_0, -0.5, r"`gamma` must be at least 0, but got -0\.5\."),
        (check_above_0, 0.0, r"`gamma` must be above 0, but got 0\.0\."),
        (check_above_0, nan, r"`gamma` must be a finite number, but got nan\."),
        (check_at_least_0, inf, r"`gamma` must be a finite number, but got inf\."),
        (check_at_least_1, 0, r"`gamma` must be at least 1, but got 0\."),
        (check_share, -0.1, r"`gamma` must lie in \[0, 1\], but got -0\.1\."),
        (check_share, 1.5, r"`gamma` must lie in \[0, 1\], but got 1\.5\."),
        (check_share, nan, r"`gamma` must lie in \[0, 1\], but got nan\."),
        (check_is_finite, nan, r"`gamma` must be a finite number, but got nan\."),
        (check_is_finite, -inf, r"`gamma` must be a finite number, but got -inf\."),
    ],
)
def test_a_number_out_of_range_is_refused_by_its_name(check, value, sentence):
    with pytest.raises(UsageError, match=sentence):
        check(tau=1.0, gamma=value)


def test_the_ends_of_ranges():
    check_at_least_0(tau=0.0, epochs=0, alpha=None)
    check_above_0(tau=1e-9, epochs=1)
    check_at_least_1(epochs=1, draws=None)
    check_share(delta=0.0, tail=1)
    check_is_finite(tau=-1.0, alpha=None)


class Base(ABC):
    @abstractmethod
    def draw(self) -> None:
        """Left open."""


def test_a_class_that_lacks_methods_is_said_to():
    lacks = r"^Can't instantiate abstract class Base .*draw.*: a base class, or one of your own .*\.$"
    with pytest.raises(UsageError, match=lacks), refusing_abstract_classes():
        Base()
    with pytest.raises(TypeError, match="no such argument"), refusing_abstract_classes():
        raise TypeError("no such argument")


class Layers(torch.nn.Module):
    def __init__(self) -> None:
        self.layer = torch.nn.Identity()


def test_a_part_that_has_left_its_base_out_is_said_to():
    check_begun("part", Path("a"), "name")
    sentence = (
        r"^`part` PosixPath must begin its `__init__` with `super\(\).__init__\(seed\)`, that of its base class\.$"
    )
    with pytest.raises(UsageError, match=sentence):
        check_begun("part", Path("a"), "targets", "(seed)")
    with (
        pytest.raises(UsageError, match=r"^`part`, or a module in it, must begin its `__init__` with"),
        refusing_unbegun_modules("part"),
    ):
        Layers()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--part", type=torch.nn.Module)
    with pytest.raises(UsageError, match=r"^Layers, or a module in it, must begin"), refusing_unbegun_modules("part"):
        parser.instantiate(parser.parse_args([f"--part={__name__}.Layers"]))
    for error in (AttributeError("no attribute 'a'"), ValueError("no such value")):
        with pytest.raises(type(error), match="no "), refusing_unbegun_modules("part"):
            raise error


def test_a_word_that_its_type_does_not_list_is_refused():
    shape = Literal["step", "none", "complete"]
    check_word("shape", "none", shape)
    check_word("shape", "complete", shape)
    for other in ("Step", None):
        with pytest.raises(UsageError, match=rf"^`shape` must be one of step, none, complete, but got {other!r}\.$"):
            check_word("shape", other, shape)


@pytest.mark.parametrize("thresholds", [20, None, (20,), (20, 100, 200), (100, 20), (-1, 20), ("20", "100"), "20"])
def test_what_is_no_rising_pair_of_numbers_is_no_thresholds(thresholds):
    check_thresholds("part", (20, 100))
    check_thresholds("part", [0, 0])
    with pytest.raises(UsageError, match=r"`part` must be \(low, high\) with 0 <= low <= high, but got ") as error:
        check_thresholds("part", thresholds)
    assert str(error.value).endswith(f"got {thresholds!r}.")


def test_what_is_made_already_makes_nothing():
    for factory in (Path, partial(Path, "a"), lambda: Path("a"), None):
        check_makes("place", factory, Path)
    with pytest.raises(UsageError, match=r"^`place` must be what makes one, such as the class `.*Path` or a funct"):
        check_makes("place", Path("a"), Path)


@pytest.mark.parametrize(
    "given", [[4, 2], (4, 2), torch.tensor([4, 2]), [torch.tensor(4), 2], np.array([4.0, 2.0]), iter([4, 2])]
)
def test_counts_may_be_a_list_a_tensor_or_an_array(given):
    found = checked_counts(given)
    assert found == [4, 2]
    assert [type(count) for count in found] == [int, int]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({1: 40, 2: 20}, r"list of training images per class, in the order of the logits, but got a dict\."),
        ("42", r"list of training images per class, .* but got a str\."),
        (None, r"list of training images per class, .* but got a NoneType\."),
        ([1.5, 3], r"one whole number for each class, but got \[1\.5, 3\]\."),
        ([nan, 3], "one whole number for each class"),
        ([inf, 3], "one whole number for each class"),
        (["4", "2"], "one whole number for each class"),
        (torch.tensor([[1, 2], [3, 4]]), "one whole number for each class"),
        (
            [3, 0],
            r"at least 1 for each class, but got \[3, 0\]; give class 1 a training image, or leave it out of .*\.$",
        ),
        ([0, 3], r"at least 1 .* got \[0, 3\]; give class 0 a .* if your labels start at 1, number them from 0\.$"),
        ([3, -1], r"at least 1 for each class, but got \[3, -1\]\.$"),
        ([], "at least 1 for each class"),
        ([9] * 8141 + [0], r"at least 1 for each class, but got 8142 numbers, among them 0 for class 8141; give"),
        ([9, 1.5] * 4000, r"one whole number .* got 8000 numbers, among them 1\.5 for class 1, .* and 3995 more\.$"),
    ],
)
def test_what_are_no_counts_is_refused(given, sentence):
    with pytest.raises(UsageError, match=rf"^`class_counts` must (be a|hold) {sentence}"):
        checked_counts(given)


def test_metrics_may_have_classes_without_training_images():
    assert checked_counts([0, 3], least=0) == [0, 3]
    with pytest.raises(UsageError, match="at least 0"):
        checked_counts([-1, 3], least=0)


def test_what_the_system_refuses_comes_with_a_remedy():
    assert refusal(OSError(errno.EMFILE, "Too many open files")) == (
        "Too many open files; allow more open files, as by `ulimit -n`, or take fewer `data.num_workers`"
    )
    named = refusal(PermissionError(errno.EACCES, "Permission denied", Path("a.csv")))
    assert named == "Permission denied: 'a.csv'; choose another place, or change its rights"
    assert refusal(OSError(errno.ENOMEM, "Cannot allocate memory")) == (
        "Cannot allocate memory; ask for more memory, or take fewer `data.num_workers`"
    )
    long = refusal(OSError(errno.ENAMETOOLONG, "File name too long", "a"))
    assert long == "File name too long: 'a'; choose a shorter name"
    assert refusal(IsADirectoryError(errno.EISDIR, "Is a directory", "a")) is None
    assert refusal(OSError("no number")) is None


@pytest.mark.parametrize("module", ["multiprocessing.popen_fork", "subprocess", "threading"])
def test_a_process_that_cannot_be_started_is_told_by_where_the_error_comes_from(module):
    with pytest.raises(BlockingIOError) as found:
        exec(f"raise BlockingIOError({errno.EAGAIN}, 'Not now')", {"__name__": module})
    assert refusal(found.value) == (
        "Not now; allow more processes, as by `ulimit -u`, or take fewer `data.num_workers`"
    )


def test_a_lock_that_is_taken_and_an_output_that_would_wait_are_no_processes(tmp_path):
    fcntl = pytest.importorskip("fcntl", reason="Windows has other locks")
    with (tmp_path / "lock").open("w") as first, (tmp_path / "lock").open("w") as second:
        fcntl.flock(first, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError) as found:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert refusal(found.value) is None
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    assert os.write(writes, bytes(2**24)) < 2**24  # which fills it
    with pytest.raises(BlockingIOError) as found:
        os.write(writes, bytes(2**24))
    os.close(reads)
    os.close(writes)
    assert refusal(found.value) is None


@pytest.mark.parametrize("number", [errno.ESHUTDOWN, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN])
def test_a_file_system_that_has_gone_is_told_from_a_connection(number):
    assert refusal(OSError(number, "Gone", "a.csv")) == "Gone: 'a.csv'; look after the network's file system"
    assert refusal(OSError(number, "Gone")) is None

"""This process among others."""

import subprocess
import sys

import pytest
from lightning.pytorch.utilities import rank_zero_only

from lt_lightning.processes import in_group, is_first, is_first_of_group, on_first, rank_and_world_size, to_first
from tests.two_processes import in_two_processes


def told(rank):
    return in_group(), rank_and_world_size(), is_first()


def brought(rank):
    return to_first(f"share {rank}"), on_first(lambda: f"of {rank}")


def test_two_that_are_joined_know_each_other(tmp_path):
    assert in_two_processes(told, tmp_path) == ((True, (0, 2), True), (True, (1, 2), False))


def test_the_first_gets_what_all_have_and_all_get_what_it_does(tmp_path):
    assert in_two_processes(brought, tmp_path) == ((["share 0", "share 1"], "of 0"), ([], "of 0"))
    assert brought(0) == (["share 0"], "of 0")


@pytest.mark.parametrize("rank", [0, 1])
def test_before_they_are_joined_the_launcher_says_which_is_the_first(rank, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", rank)
    assert told(rank) == (False, (0, 1), rank == 0)


def test_to_ask_for_the_group_alone_takes_no_lightning():
    script = "import sys, lt_lightning.losses; assert 'lightning' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_nobody_joins_is_on_its_own_whatever_has_started_it(rank, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", rank)
    assert is_first_of_group()

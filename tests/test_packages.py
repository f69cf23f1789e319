"""Whose code something is."""

from functools import partial

import torch

from lt_lightning.heads import LinearHead
from lt_lightning.packages import comes_from, is_ours


class Own(LinearHead):
    """A user's head."""


def test_a_class_is_of_the_package_that_defines_it():
    assert [is_ours(kind) for kind in (LinearHead, Own, torch.nn.Linear)] == [True, False, False]
    assert comes_from(torch.nn.Linear, "lt_lightning", "torch")
    assert not comes_from(torch.nn.Linear, "tor", "torch.nn")


def test_functions_come_from_packages_too_and_some_objects_from_none():
    assert comes_from(torch.nn.functional.relu, "torch")
    assert not comes_from(partial(torch.relu), "torch")
    assert not comes_from(type("Nowhere", (), {"__module__": None}), "torch")

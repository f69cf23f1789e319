"""One method's settings; tests/test_api.py has what `retrain` makes of them."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from lt_lightning.comparing.one_method import checked_grid, method_name, plain, points_of_method
from lt_lightning.comparing.settings import SettingsParser
from lt_lightning.errors import UsageError
from lt_lightning.heads import CosineHead, LinearHead


class Mine(LinearHead):
    pass


def test_a_class_goes_by_its_import_path():
    assert method_name("lort") == "lort"
    assert method_name(Mine) == f"{__name__}.Mine"
    assert method_name(CosineHead) == "lt_lightning.heads.cosine.CosineHead"


def test_a_class_that_its_path_does_not_lead_to_is_refused(monkeypatch):
    replaced = Mine
    monkeypatch.setattr(sys.modules[__name__], "Mine", type("Mine", (LinearHead,), {}))
    for method in (replaced, type("Hidden", (LinearHead,), {})):
        with pytest.raises(UsageError, match="`method` is a class that cannot be imported as"):
            method_name(method)
    with pytest.raises(UsageError, match="`method` must be the name of one method"):
        method_name(3)


def test_numbers_and_containers_of_others_become_pythons_own():
    given = {"lr": np.float32(0.5), "weight": torch.tensor([1.0, 2.0]), "words": {"b", "a"}, "more": range(2)}
    assert plain(given) == {"lr": 0.5, "weight": [1.0, 2.0], "words": ["a", "b"], "more": [0, 1]}


def test_a_grid_needs_images_to_choose_by():
    assert checked_grid(None, None) is None
    assert checked_grid(None, []) == {}
    assert checked_grid({"lr": [0.1, 1]}, []) == {"lr": [0.1, 1]}
    with pytest.raises(UsageError, match="`grid` is given without `val_loader`"):
        checked_grid({"lr": [0.1]}, None)
    with pytest.raises(UsageError, match="`grid` must be values by key"):
        checked_grid([0.1], [])


def test_points_are_those_that_fold_into_the_layer():
    layer, parser = nn.Linear(4, 3), SettingsParser()
    (own,) = points_of_method("lort", {"delta": 0.5}, None, layer, parser)
    assert own.method.plain["loss"]["init_args"] == {"delta": 0.5}
    assert len(points_of_method("lort", {}, {}, layer, parser)) == 8  # the default grid
    with pytest.raises(UsageError, match="`method` 'cosine' cannot be put back into the model"):
        points_of_method("cosine", {}, None, layer, parser)

"""What callbacks say of a run gets into its results, or a warning says why not."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

from lt_lightning.callbacks.results import diagnostics_of
from lt_lightning.results import write_json


class Says(Callback):
    def __init__(self, diagnostics):
        self.diagnostics = diagnostics


class Stumbles(Callback):
    @property
    def diagnostics(self):
        return self.never_set


def test_tensors_and_arrays_become_lists(tmp_path):
    given = {
        "tensor": torch.tensor([1.0, 2.0], requires_grad=True),
        "half": torch.tensor(0.5, dtype=torch.bfloat16),
        "array": {"inner": np.arange(2)},
        "numbers": (np.float32(0.25), np.int64(3), None, "text", True),
        7: 8,
    }
    found = diagnostics_of([Callback(), Says(given), Says({"more": 1})])
    assert found == {
        "tensor": [1.0, 2.0],
        "half": 0.5,
        "array": {"inner": [0, 1]},
        "numbers": [0.25, 3, None, "text", True],
        "7": 8,
        "more": 1,
    }
    write_json(tmp_path / "results.json", found)


@pytest.mark.parametrize(
    ("callback", "sentence"),
    [
        (Stumbles(), "`diagnostics` of the callback Stumbles cannot be kept, .*never_set"),
        (Says([1, 2]), "`diagnostics` of the callback Says cannot be kept, .*: give a dictionary"),
        (Says({"what": {1, 2}}), "`diagnostics` of the callback Says cannot be kept, .*'set' object"),
        (Says({"what": np.array([object()])}), "`diagnostics` of the callback Says cannot be kept, .*'object' object"),
    ],
)
def test_what_cannot_be_kept_costs_no_more_than_itself(callback, sentence):
    with pytest.warns(UserWarning, match=sentence):
        assert diagnostics_of([callback, Says({"kept": 1})]) == {"kept": 1}


def test_a_callback_that_has_nothing_yet_is_passed_over():
    assert diagnostics_of([Says(None), Callback()]) == {}

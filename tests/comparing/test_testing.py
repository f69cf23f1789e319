"""What test images say, once all choices are made."""

import pytest
import torch

from lt_lightning.functional import paired_bootstrap

pytestmark = pytest.mark.filterwarnings(
    "ignore:Stage 1 is no worse:UserWarning", "ignore:No method is better:UserWarning"
)


def test_differences_are_those_of_a_bootstrap_for_each_reference(run):
    found = run("linear,lort,tau_norm", {"lr": [0.1]}, seeds=(0, 1))
    scores = torch.stack([row.correct(found.test_targets) for row in found.rows])
    for reference, name in ((found.rows[0], "to_stage1"), (found.winner, "to_winner")):
        expected = paired_bootstrap(scores, reference.correct(found.test_targets), found.test_targets, 100)
        for place, row in enumerate(found.rows):
            difference = getattr(row, name)
            if row is reference:
                assert difference is None
            else:
                assert difference["low"] == pytest.approx(float(expected.low[place]))
                assert difference["p_value"] == pytest.approx(float(expected.p_value[place]))

"""Records of comparisons; those of trainings are looked at where tables are run."""

import pytest
from reproducing.recording import compared_row
from reproducing.records import Key, key_of
from reproducing.tables import Training


@pytest.mark.parametrize(("selection", "recorded"), [("unselected", "last epoch"), ("val", "val")])
@pytest.mark.parametrize("seeds", [[0], [0, 1]])
def test_a_row_of_a_comparison(selection, recorded, seeds):
    key = Key("LORT", "digits", "features", "a preset", 1, 0, "1")
    protocol = {"selection": selection, "views": 1, "bn_mode": "eval", "test_time_averaging": "none"}
    found = {"protocol": protocol | {"aggregation": "mean"}, "backbone": "SmallCNN", "wall_seconds": 9.0}
    found |= {"environment": {}, "data": {}}
    row = {"chosen": {"delta": 0.9}, "standard_deviation": {"all": 0.1}}
    run = {"seeds": seeds, "accuracy": {"all": 0.5}, "epochs": 20, "seconds": 3.0}
    record = compared_row(key, Training("cifar100_lt/lort"), {"name": "a preset"}, found, row, run)
    assert key_of(record) == key
    assert record["protocol"] == protocol | {"selection": recorded}
    assert record["stage1"] == {"name": "a preset", "backbone": "SmallCNN"}
    assert record["standard_deviation"] == (None if len(seeds) == 1 else {"all": 0.1})
    assert (record["preset"], record["comparison_seconds"]) == ("cifar100_lt/lort", 9.0)
    assert compared_row(key, None, {}, found, row, run)["preset"] is None

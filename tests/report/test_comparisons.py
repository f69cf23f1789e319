"""What the file of a comparison says."""

import pytest


def test_comparisons_bring_a_row_per_method(write, compared, rows_of):
    seeds = [{"seed": seed, "accuracy": {"all": 0.4 + seed / 10}, "ece": 0.2} for seed in range(2)]
    lort = {"selection": "val", "seeds": seeds, "mean": {"all": 0.45}}
    write("c", compared({"lort": lort, "diverged": {"selection": "val", "seeds": []}}))
    write("paper", compared({"lort": {"best_on_test": {"all": 0.6}, "seeds": seeds, "selection": "best_on_test"}}))
    rows, _ = rows_of(".")
    found = {row.protocol[0]: (row.mean("all"), len(row.runs)) for row in rows}
    assert found == {"val": (pytest.approx(0.45), 2), "best_on_test": (0.6, 1)}

"""One figure of several runs."""

import pytest
from reproducing.summary import summary


def test_both_parts_of_the_variance(made, on):
    figures = {0: (50.0, 52.0), 1: (54.0, 56.0), 2: (58.0, 60.0)}
    records = [
        made("LORT", "c", value, seed, stage1=on(s1))
        for s1, values in figures.items()
        for seed, value in enumerate(values)
    ]
    center, deviation, words = summary(records, "all")
    assert center == pytest.approx(55.0)
    assert words == "± 4.00 between, ± 1.41 within (3 × 2)"
    assert deviation == pytest.approx((16 + 2) ** 0.5)
    assert summary(records[:1], "all") == (pytest.approx(50.0), None, "")
    assert summary(records[:2], "all")[2] == "± 1.41 (2)"
    assert summary(records[::2], "all")[2] == "± 4.00 (3)"  # one seed of stage 2 on each: nothing within
    assert summary(records[:5], "all")[2].endswith("(3 × 1 to 2)")
    assert summary([], "all") is None


def test_a_mean_that_is_a_record_itself_keeps_its_spread(made):
    several = made("LORT", "c", 44.0, seeds=[0, 1, 2, 3, 4], standard_deviation={"all": 0.002})
    fewer = made("LORT", "c", 43.0, seeds=[0, 1], standard_deviation={"all": 0.01})
    assert summary([fewer, several], "all") == (pytest.approx(44.0), pytest.approx(0.2), "± 0.20 (5)")
    best = made("LORT", "c", 45.0, seeds=[0, 1, 2], aggregation="best of 3 seeds")
    assert summary([best], "all")[1:] == (None, "(best of 3 seeds)")

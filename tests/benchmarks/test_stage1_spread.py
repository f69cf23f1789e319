from timing_stage1.spread import spread


def test_rounds_have_a_median_and_quartiles():
    assert spread([4.0, 1.0, 3.0, 2.0, 5.0]) == {"median": 3.0, "quartile_1": 2.0, "quartile_3": 4.0}
    assert spread([2.0]) == {"median": 2.0, "quartile_1": 2.0, "quartile_3": 2.0}

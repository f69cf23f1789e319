import pytest


def test_every_part_is_measured_on_the_same_batches(stage1_record):
    (setting,) = stage1_record["settings"]
    assert (setting["network"], setting["batch"], setting["steps"]) == ("ResNet20", 4, 1)
    assert [row["part"] for row in setting["rows"]] == ["a", "b", "c"]
    for row in setting["rows"]:
        (timed,) = row["rounds"]
        assert row["milliseconds_a_step"]["median"] == pytest.approx(1000 * timed["step"])
        assert row["images_per_second"]["median"] == pytest.approx(4 / timed["step"])
        assert row["first_step_seconds"] > 0

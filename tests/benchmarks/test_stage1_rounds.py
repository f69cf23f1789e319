import pytest


def test_an_epoch_counts_validation_of_ours_and_the_test_pass_of_theirs(stage1_record):
    (setting,) = stage1_record["settings"]
    a, b, c = setting["rows"]
    steps = setting["train_images"] / 4
    ours, theirs = b["rounds"][0], c["rounds"][0]
    assert a["seconds_an_epoch"]["median"] == pytest.approx(steps * a["rounds"][0]["step"])
    # Validation images are what is left of at most 20 images a class: class 0 has none.
    assert setting["train_images"] == 10_847
    assert 0 < setting["val_images"] < 2000
    share = setting["val_images"] / setting["check_val_every_n_epoch"] * ours["evaluation"]
    assert b["seconds_an_epoch"]["median"] == pytest.approx(steps * ours["step"] + ours["epoch_end"] + share)
    assert c["seconds_an_epoch"]["median"] == pytest.approx(steps * theirs["step"] + 10_000 * theirs["evaluation"])


def test_ratios_are_those_of_the_times(stage1_record):
    a, b, c = stage1_record["settings"][0]["rows"]
    whole = b["seconds_an_epoch"]["median"]
    ratios = {name: found["median"] for name, found in b["ratios"].items()}
    assert ratios["b/a"] == pytest.approx(a["rounds"][0]["step"] / b["rounds"][0]["step"])
    assert ratios["b/c"] == pytest.approx(c["seconds_an_epoch"]["median"] / whole)
    assert ratios["b/c without test pass"] == pytest.approx(10_847 / 4 * c["rounds"][0]["step"] / whole)
    assert ratios["b/c"] > ratios["b/c without test pass"]

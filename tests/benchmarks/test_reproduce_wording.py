"""Protocols in words."""

import pytest
from reproducing.wording import hardware_and_time, protocol_label


@pytest.mark.parametrize(
    ("two_stages", "protocol", "label"),
    [
        (False, {}, "last epoch"),
        (False, {"test_time_averaging": "flip"}, "last epoch, flip-averaged"),
        (False, {"precision": "bf16-mixed"}, "last epoch, bf16-mixed"),
        (False, {"data": "5 training images of each class"}, "last epoch, 5 training images of each class"),
        (True, {"views": 1}, "last epoch, features of 1 view, BatchNorm in evaluation mode"),
        (
            True,
            {"selection": "best_on_test", "views": "images", "bn_mode": "train", "test_time_averaging": "flip"},
            "best on test, as the papers do, flip-averaged, on images, BatchNorm in training mode",
        ),
        (
            True,
            {"selection": "val"},
            "settings chosen on validation images, features of 20 views, BatchNorm in evaluation mode",
        ),
    ],
)
def test_a_protocol_has_a_column_of_its_own(two_stages, protocol, label, made, on):
    assert protocol_label(made("x", "y", 1.0, stage1=on(0) if two_stages else None, protocol=protocol)) == label


def test_runs_of_another_table_are_named(made):
    own, other = made("x", "y", 1.0), {**made("z", "y", 1.0), "measured_for": "lort3"}
    assert " for 2 runs; 1 measured for `lort3`; version " in hardware_and_time([own, other])
    assert "measured for" not in hardware_and_time([own])

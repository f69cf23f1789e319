"""What a checkpoint knows of its data."""

from types import SimpleNamespace

import pytest
import torch

from lt_lightning.errors import UsageError
from lt_lightning.modules.origin import check_origin, check_transform, describe_data, describe_split, is_plain


def test_data_describe_themselves_as_far_as_they_can(digits):
    assert describe_data(None) == describe_split(None) == {}
    found = describe_data(data := digits())
    assert found["class_names"] == list("0123456789")
    assert found["transform"] == data.describe_transform(training=False)
    odd = SimpleNamespace(class_names=[1, 2], describe_transform=lambda training: {"mean": torch.zeros(3)})
    assert describe_data(odd) == {"class_names": ["1", "2"]}
    assert describe_split(digits())["dataset"]


def test_other_counts_and_other_images_are_refused():
    split = {"hashes": {"train": "a" * 64}}
    check_origin({}, [3, 1], split, "It")
    check_origin({"class_counts": (3, 1), "split": split}, [3, 1], split, "It")
    check_origin({"class_counts": (3, 1), "split": split}, [3, 1], {}, "It")
    with pytest.raises(UsageError, match=r"It was trained on 4 images in 2 classes \(3 to 1 a class\), but .* 5 in 2"):
        check_origin({"class_counts": [3, 1]}, [3, 2], {}, "It")
    with pytest.raises(UsageError, match=r"It was trained on other images .* \(split hash bbbbbbbbbbbb…, here aaaaaaa"):
        check_origin({"split": {"hashes": {"train": "b" * 64}}}, [3, 1], split, "It")


def test_images_prepared_otherwise_are_said():
    data = SimpleNamespace(describe_transform=lambda training: {"image_size": 64, "mean": (0.5, 0.4), "flip": True})
    there = {"image_size": 64, "resize": 72, "mean": [0.5, 0.4], "flip": False}
    for same in ({}, there):
        check_transform(same, data, "theirs")
        check_transform(same, None, "theirs")
    with pytest.warns(UserWarning, match=r"otherwise than theirs: `data.image_size` 64 \(there 32\), `data.mean` \[0"):
        check_transform({**there, "image_size": 32, "mean": (0.5, 0.5)}, data, "theirs")


def test_plain_values_are_those_that_need_no_class():
    assert is_plain({"a": [1, 2.0, None, ("x", True)]})
    assert not is_plain({"a": [torch.zeros(1)]})
    assert not is_plain({(1, object()): 2})

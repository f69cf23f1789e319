"""What a checkpoint knows of its data."""

from types import SimpleNamespace

import pytest
import torch

from lt_lightning.errors import UsageError
from lt_lightning.modules.origin import check_origin, describe_data, describe_split, is_plain


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


def test_plain_values_are_those_that_need_no_class():
    assert is_plain({"a": [1, 2.0, None, ("x", True)]})
    assert not is_plain({"a": [torch.zeros(1)]})
    assert not is_plain({(1, object()): 2})

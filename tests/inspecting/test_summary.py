"""What is counted, and what a user is told of it."""

import json
import re
import shutil

import pytest

from lt_lightning.data import DigitsLT, ImageFolderLT
from lt_lightning.errors import UsageError
from lt_lightning.inspecting import Summary, remarks, summarize


def counted(train, thresholds=(20, 100)):
    names = [f"c{number}" for number in range(len(train))]
    full = [5] * len(train)
    return Summary(names, thresholds, {"train": train, "val": full, "test": full})


def test_folders_are_counted_by_split_and_class(folder_root):
    summary = summarize(ImageFolderLT(root=str(folder_root)))
    assert summary.class_names == ["ant", "bee", "cat"]
    assert summary.splits == {
        "train": [9, 4, 2],
        "val": [2, 1, 0],
        "test": [2, 2, 2],
    }
    assert summary.imbalance_ratio == 4.5


def test_groups_hold_every_class_and_image_once():
    groups = counted([500, 101, 100, 20, 19, 1]).groups()
    assert groups == {
        "many": {"classes": 2, "images": 601},
        "medium": {"classes": 2, "images": 120},
        "few": {"classes": 2, "images": 20},
    }


def test_what_is_missing_is_said_with_where_it_belongs(folder_root):
    for split in ("val", "test"):
        shutil.rmtree(folder_root / split)
    data = ImageFolderLT(root=str(folder_root))
    val, test, *_ = remarks(summarize(data), data)
    assert val == (
        f"There are no validation images, so `compare` cannot choose settings; put the images into "
        f"{folder_root}/val/<class>/."
    )
    assert test.startswith("There are no test images to measure the tail on; put the images into")


def test_classes_without_images_are_named(folder_root):
    data = ImageFolderLT(root=str(folder_root))
    (found,) = (one for one in remarks(summarize(data), data) if "without" in one)
    assert found == ("Of 3 classes 1 without a validation image are left out of that split's mean accuracies: cat.")


def test_a_class_without_training_images_is_shown_and_named():
    summary = counted([9, 0, 3])
    assert summary.imbalance_ratio == 3
    (found,) = (one for one in remarks(summary, DigitsLT()) if "without" in one)
    assert found == (
        "Of 3 classes 1 without a training image, with which `fit` refuses to train: c1; give class 1 a training "
        "image, or leave it out of the classes and number the others anew."
    )


def test_test_images_of_no_known_class_are_counted_apart():
    data = DigitsLT()
    test = data.split("test")
    test.targets[:3] = -1
    summary = summarize(data)
    assert sum(summary.splits["test"]) == len(test) - 3
    (found,) = (one for one in remarks(summary, data) if "no known class" in one)
    assert found.startswith(f"Test images of no known class, not counted here: 3 of {len(test)}; `compare` and `probe`")
    test.targets[:] = -1
    assert "test" not in summarize(data).splits


def test_files_that_count_for_no_class_are_named(folder_root):
    (folder_root / "test" / "cat" / "new.HEIC").touch()
    data = ImageFolderLT(root=str(folder_root))
    assert [one for one in remarks(summarize(data), data) if "passed over" in one] == [
        "1 file is passed over, not being named as images are: .heic (1); convert what is an image."
    ]


@pytest.mark.parametrize(("counts", "said"), [([40, 20], True), ([41, 20], False)])
def test_balanced_data_are_called_so(counts, said):
    found = remarks(counted(counts, thresholds=(30, 35)), DigitsLT())
    assert any(one.startswith("The imbalance ratio is 2: ") for one in found) == said


def test_thresholds_that_leave_a_group_empty_come_with_better_ones():
    summary = counted([90, 80, 70, 60, 50, 40, 30, 25, 21])
    (found,) = remarks(summary, DigitsLT())
    assert found.startswith("No class is many or few by the thresholds 20 and 100;")
    assert '`--data.group_thresholds "[40, 60]"`' in found
    better = Summary(summary.class_names, (40, 60), summary.splits)
    assert [group["classes"] for group in better.groups().values()] == [3, 3, 3]


@pytest.mark.parametrize("counts", [[500] * 9, [7], [400, 300], [300, 200, 150, 150, 150, 150], [9, 5, 5, 5, 5, 5, 1]])
def test_no_thresholds_are_named_where_equal_counts_allow_no_thirds(counts):
    found = remarks(counted(counts), DigitsLT())
    assert found[-1].startswith("No class is ")
    assert found[-1].endswith(" by the thresholds 20 and 100.")


@pytest.mark.parametrize(
    "counts", [[3, 2, 1], [19, 12, 7, 4], [900, 800, 700, 600, 500], [500, 400, 300, 300, 200, 100, 90]]
)
def test_thresholds_that_are_named_leave_no_group_empty(counts):
    summary = counted(counts)
    *_, said = remarks(summary, DigitsLT())
    thresholds = tuple(json.loads(re.search(r'"(\[.*\])"', said)[1]))
    sizes = [group["classes"] for group in Summary(summary.class_names, thresholds, summary.splits).groups().values()]
    assert max(sizes) - min(sizes) <= 2
    assert min(sizes) > 0


def test_data_without_training_images_are_refused(folder_root):
    class Testing(DigitsLT):
        def load(self, split):
            return None if split == "train" else super().load(split)

    with pytest.raises(UsageError, match="`Testing` has no training images; `inspect` needs some"):
        summarize(Testing())

import pytest
import torch

from lt_lightning.data import CIFAR10LT, CIFAR100LT
from lt_lightning.errors import UsageError


def groups(data):
    low, high = data.group_thresholds
    counts = data.class_counts
    return (sum(n > high for n in counts), sum(low <= n <= high for n in counts), sum(n < low for n in counts))


@pytest.mark.parametrize(
    ("ratio", "total", "expected"),
    [(10, 19573, (69, 31, 0)), (50, 12608, (41, 41, 18)), (100, 10847, (35, 35, 30)), (200, 9502, (30, 31, 39))],
)
def test_cifar100_has_the_published_counts_and_groups(ratio, total, expected):
    data = CIFAR100LT(imbalance_ratio=ratio)
    assert sum(data.class_counts) == total
    assert groups(data) == expected


@pytest.mark.parametrize(("ratio", "total"), [(10, 20431), (50, 13996), (100, 12406), (200, 11203)])
def test_cifar10_has_the_published_counts(ratio, total):
    assert sum(CIFAR10LT(imbalance_ratio=ratio).class_counts) == total


def test_names_are_in_alphabetical_order_and_distinct():
    for data, number in ((CIFAR10LT(), 10), (CIFAR100LT(), 100)):
        assert len(set(data.class_names)) == number
        assert data.class_names == sorted(data.class_names)


@pytest.mark.slow
def test_the_real_cifar100_is_split_as_published(shared):
    pytest.importorskip("pyarrow")
    data = CIFAR100LT(root=str(shared / "data" / "cifar100"), imbalance_ratio=100)
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    train, val, test = (data.split(name) for name in ("train", "val", "test"))
    assert (len(train), len(test)) == (10847, 10000)
    assert groups(data) == (35, 35, 30)
    assert torch.bincount(train.targets).tolist() == data.class_counts
    # An aquarium fish is in the published training set twice, once among those that train, once among the unused ones.
    left = [min(20, 500 - n) for n in data.class_counts]
    left[data.class_names.index("aquarium_fish")] -= 1
    assert torch.bincount(val.targets, minlength=100).tolist() == left
    record = data.describe_split()
    assert record["classes_without_validation"] == [0]
    assert record["val_repeats_left_out"] == 1

    pixels = {
        name: {image.tobytes() for image in images.images.numpy()}
        for name, images in (("train", train), ("val", val), ("test", test))
    }
    assert not pixels["train"] & pixels["val"]
    assert len(pixels["train"] & pixels["test"]) == 5  # repeats of the published set, ten in all; kept, as by everyone
    assert len(set(record["hashes"].values())) == 3


def test_the_cut_cifar10_works_from_ratio_ten_and_is_too_small_below(shared, monkeypatch):
    pytest.importorskip("pyarrow")

    def numbered(self, split, indices):
        images = torch.zeros(len(indices), 3, 32, 32, dtype=torch.uint8)
        images[:, :, 0, 0] = torch.stack([indices % 256, indices // 256 % 256, indices // 65536], 1).to(torch.uint8)
        return images

    monkeypatch.setattr("lt_lightning.data.parquet.ParquetSource.images", numbered)  # labels decide here
    root = str(shared / "data" / "cifar10")
    for ratio, without in ((100, [0]), (10, [0, 5, 6, 7, 8, 9])):
        data = CIFAR10LT(root=root, imbalance_ratio=ratio)
        data.setup("fit")
        assert torch.bincount(data.split("train").targets).tolist() == data.class_counts
        assert data.describe_split()["classes_without_validation"] == without
    with pytest.raises(
        UsageError,
        match=r"The pool has 1391 images of class 5, but 2044 are wanted; .* a larger `imbalance_ratio` or",
    ):
        CIFAR10LT(root=root, imbalance_ratio=5).setup("fit")

import torch

from lt_lightning.data import DigitsLT


def loaded(**choices):
    data = DigitsLT(**choices)
    data.setup("fit")
    data.setup("test")
    return data


def test_the_default_tail_fills_every_group():
    data = DigitsLT()
    assert data.class_counts == [100, 64, 41, 27, 17, 11, 7, 4, 3, 2]
    low, high = data.group_thresholds
    assert [sum(n > high for n in data.class_counts), sum(n < low for n in data.class_counts)] == [3, 4]


def test_test_and_validation_parts_are_stratified_and_disjoint():
    data = loaded()
    train, val, test = (data.split(name) for name in ("train", "val", "test"))
    assert torch.bincount(test.targets).tolist() == [50] * 10
    assert torch.bincount(val.targets).tolist() == [20] * 10
    assert torch.bincount(train.targets).tolist() == data.class_counts
    assert train.images.shape[1:] == (1, 8, 8)
    assert train.images.dtype == torch.uint8
    assert train.images.max() == 255
    everything = torch.cat([train.images, val.images, test.images]).flatten(1)
    assert len(everything.unique(dim=0)) == len(everything)


def test_test_and_validation_parts_are_always_the_same():
    torch.manual_seed(1)
    hashes = [loaded(**choices).describe_split()["hashes"] for choices in ({}, {"subset": 5}, {"imbalance_ratio": 20})]
    assert len({h["test"] for h in hashes}) == 1
    assert len({h["val"] for h in hashes}) == 1
    assert len({h["train"] for h in hashes}) == 3
    assert hashes[0]["test"].startswith("3252ad07a46d")  # the same on every machine and in every version


def test_the_pool_has_what_the_documentation_says():
    assert DigitsLT(max_count=None).class_counts[0] == 104
    pool = torch.bincount(DigitsLT().open_source().labels("train"))
    assert (pool.min(), pool.max()) == (124, 133)


def test_inputs_are_standardised():
    data = loaded(profile="none")
    inputs = data.to_input(data.split("train").images, False, None)
    assert abs(inputs.mean()) < 0.05
    assert abs(inputs.std() - 1) < 0.05

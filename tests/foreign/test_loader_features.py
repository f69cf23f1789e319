"""Inputs of a model's last layer, from a user's loader."""

import pytest
import torch
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from lt_lightning.errors import UsageError
from lt_lightning.foreign.loader_features import features_of, first_images, training_features
from lt_lightning.samplers import ClassBalancedSampler

BATCHES = [(torch.randn(3, 4), torch.tensor([0, 1, 2])), (torch.randn(2, 4), torch.tensor([2, 2]))]


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).eval()


def test_they_are_what_the_layer_is_given(model):
    found, counts = training_features(model, "2", model[2], BATCHES, progress=False)
    images = torch.cat([images for images, _ in BATCHES])
    torch.testing.assert_close(model[2](found.values[0]), model(images))
    assert found.targets.tolist() == [0, 1, 2, 2, 2]
    assert counts == [1, 1, 3]
    assert torch.equal(first_images(BATCHES), BATCHES[0][0])
    images, targets = BATCHES[0]
    assert torch.equal(first_images([(images[:0], targets[:0]), *BATCHES]), images)


@pytest.mark.parametrize(
    ("loader", "says"),
    [
        (3, "must give .* batches, but got int"),
        (iter(BATCHES), "can be gone through only once"),
        ([], "has no batches; give"),
        ([(BATCHES[0][0][:0], BATCHES[0][1][:0])], "has no images in its batches; give"),
    ],
)
def test_loaders_without_images_are_refused(loader, says):
    with pytest.raises(UsageError, match=f"^`train_loader` {says}"):
        first_images(loader)


def test_what_the_layer_cannot_be_trained_on_is_refused(model):
    images, targets = BATCHES[0]
    with pytest.raises(UsageError, match="`val_loader` has targets from 0 to 3, but `classifier` '2' has 3 outputs"):
        features_of(model, "2", model[2], [(images, targets + torch.tensor([0, 0, 1]))], "val_loader", progress=False)
    with pytest.raises(UsageError, match="`train_loader` has no image of class 0, and"):
        training_features(model, "2", model[2], [*BATCHES[1:], (images[:1], targets[1:2])], progress=False)
    with pytest.raises(UsageError, match="`test_loader` makes inputs of `classifier` '2' that are infinite or not a n"):
        features_of(model, "2", model[2], [(images * torch.nan, targets)], "test_loader", progress=False)


DATA = TensorDataset(torch.randn(10, 4), torch.arange(10) % 3)


class Own(BatchSampler):
    """Has nothing that its parent has."""

    num_replicas = None

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)

    def __len__(self):
        return len(self.batches)


class Unbounded(SequentialSampler):
    """Does not say how many images it shows."""

    def __len__(self):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"sampler": WeightedRandomSampler(torch.ones(10), 60)},
            "shows some images more often than others, by its WeightedRandomSampler",
        ),
        ({"sampler": RandomSampler(DATA, replacement=True, num_samples=60)}, "shows some .* by its RandomSampler"),
        ({"sampler": ClassBalancedSampler(DATA.tensors[1])}, "shows some .* by its ClassBalancedSampler"),
        (
            {"sampler": DistributedSampler(DATA, num_replicas=2, rank=0, shuffle=False)},
            "shows each process a share of the images, by its DistributedSampler",
        ),
        ({"batch_size": 4, "drop_last": True}, "leaves out 2 images, by its `drop_last`"),
        ({"batch_sampler": BatchSampler(range(10), 3, drop_last=True)}, "leaves out 1 images, by its `drop_last`"),
    ],
)
def test_a_loader_that_counts_classes_wrong_is_named(model, options, says):
    with pytest.warns(UserWarning, match=f"^`train_loader` {says}, so the training images of each class are counted"):
        training_features(model, "2", model[2], DataLoader(DATA, **options), progress=False)


@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": True},
        {"batch_size": 5, "drop_last": True},
        {"batch_size": 4, "sampler": DistributedSampler(DATA, num_replicas=1, rank=0)},
        {"sampler": SubsetRandomSampler(range(8))},  # the others may be no training images
        {"sampler": WeightedRandomSampler(torch.ones(10), 10, replacement=False)},
        {"batch_sampler": Own([[0, 1, 2, 3], [4, 5, 6, 7, 8, 9]])},
        {"batch_size": 4, "drop_last": True, "sampler": Unbounded(DATA)},
    ],
)
def test_a_loader_that_shows_each_image_once_is_not_named(model, options, recwarn):
    training_features(model, "2", model[2], DataLoader(DATA, **options), progress=False)
    assert not recwarn.list


def test_a_network_for_other_classes_needs_a_layer_for_these_first():
    """Nobody has images of all classes of ImageNet."""
    wide = nn.Sequential(nn.Linear(4, 1000)).eval()
    with pytest.raises(
        UsageError,
        match=r"of each class or, .* for the 3 that you have: train a fresh nn.Linear .*, or use `lt-lightning probe`",
    ):
        training_features(wide, "0", wide[0], BATCHES, progress=False)
    near = nn.Sequential(nn.Linear(4, 5)).eval()
    with pytest.raises(UsageError, match=r"no image of class 3, 4, .*; give at least one image of each class\.$"):
        training_features(near, "0", near[0], BATCHES, progress=False)

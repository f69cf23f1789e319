"""Inputs of a model's last layer, from a user's loader."""

import pytest
import torch
from torch import nn

from lt_lightning.errors import UsageError
from lt_lightning.loader_features import features_of, first_images, training_features

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


@pytest.mark.parametrize(
    ("loader", "says"),
    [
        (3, "must give .* batches, but got int"),
        (iter(BATCHES), "can be gone through only once"),
        ([], "has no batches"),
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
    with pytest.raises(UsageError, match="inputs of `classifier` '2' that are infinite or not a number"):
        training_features(model, "2", model[2], [(images * torch.nan, targets)], progress=False)


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

"""The base of all samplers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.errors import UsageError
from lt_lightning.samplers import ClassBalancedSampler, EpochSampler, InstanceSampler, ShardedBatchSampler
from lt_lightning.samplers.base import ClassIndex, make_sampler, places_in_class, targets_from_counts


class Backwards(EpochSampler):
    """From the last image to the first; from the second epoch on the first comes first."""

    def draw(self, generator):
        order = torch.arange(len(self) - 1, -1, -1)
        return order if self.epoch == 0 else order.roll(1)


def test_a_sampler_of_ones_own_takes_one_method():
    assert list(ShardedBatchSampler(Backwards([0, 1, 1, 1]), 2, rank=1, world_size=2)) == [[2], [0]]


class Unbegun(Backwards):
    def __init__(self, targets, seed=0):
        self.order = targets


def test_a_sampler_that_has_left_its_base_out_is_refused():
    assert isinstance(make_sampler(Backwards, torch.tensor([0, 1]), 0), Backwards)
    with pytest.raises(UsageError, match=r"`data.sampler` Unbegun must begin .* `super\(\).__init__\(targets, seed\)`"):
        make_sampler(Unbegun, torch.tensor([0, 1]), 0)


@pytest.mark.parametrize(
    ("drawn", "sentence"),
    [
        (torch.arange(3), r"must give indices of shape \(4,\), .* gave a tensor of shape \(3,\) and type int64"),
        (torch.rand(4), r"must give indices of shape \(4,\), .* gave a tensor of shape \(4,\) and type float32"),
        ([0, 1, 2, 3], "but gave a list"),
        (torch.arange(1, 5), "must give indices from 0 to 3, of the training images, but gave 1 to 4"),
        (torch.arange(-1, 3), "but gave -1 to 2"),
    ],
)
def test_what_is_no_list_of_training_images_is_refused(drawn, sentence):
    class Mine(EpochSampler):
        def draw(self, generator):
            return drawn

    with pytest.raises(UsageError, match=f"`draw` of `Mine` .*{sentence}"):
        Mine([0, 1, 1, 1]).indices(0)


def test_draw_knows_the_epoch_that_is_asked_for():
    sampler = Backwards([0, 1, 1, 1])
    assert sampler.indices(1).tolist() == [0, 3, 2, 1]
    assert list(sampler) == [3, 2, 1, 0]
    sampler.set_epoch(1)
    assert list(sampler) == [0, 3, 2, 1]
    assert sampler.indices(0).tolist() == [3, 2, 1, 0]


class Growing(EpochSampler):
    def __len__(self):
        return min(2 + self.epoch, 4)

    def draw(self, generator):
        return torch.randperm(len(self), generator=generator)


def test_a_length_that_changes_with_the_epoch_is_refused_as_soon_as_epochs_are_known():
    sampler = Growing([0, 1, 1, 1])
    sampler.set_epochs(1)
    assert len(sampler.indices(0)) == 2
    sentence = r"^`data.sampler` Growing shows 2 images in epoch 0 and 3 in epoch 1, .* one number for all epochs\.$"
    with pytest.raises(UsageError, match=sentence):
        sampler.set_epochs(3)
    sampler.set_epoch(1)
    with pytest.raises(UsageError, match=sentence):
        list(ShardedBatchSampler(sampler, 2))


def test_targets_from_counts_are_as_many_of_each_class():
    assert targets_from_counts([2, 1, 3]).tolist() == [0, 0, 1, 2, 2, 2]


def test_length_of_training_is_filled_in_once():
    sampler = InstanceSampler([0])
    sampler.set_epochs(None)
    assert sampler.epochs is None
    sampler.set_epochs(3)
    sampler.set_epochs(4)
    assert sampler.epochs == 3
    assert InstanceSampler([0]).epochs is None


@settings(max_examples=20)
@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_class_index_finds_every_image_of_every_class(targets_of, counts):
    targets = targets_of(counts)
    index = ClassIndex(targets, torch.tensor(counts))
    for label, count in enumerate(counts):
        found = index.images(torch.full((count,), label), torch.arange(count))
        assert sorted(found.tolist()) == torch.nonzero(targets == label).flatten().tolist()


def test_places_count_earlier_images_of_the_same_class():
    assert places_in_class(torch.tensor([2, 0, 2, 2, 0])).tolist() == [0, 0, 1, 2, 1]
    assert len(places_in_class(torch.tensor([], dtype=torch.int64))) == 0


@pytest.mark.parametrize("targets", [[[0], [1]], [0.5, 1.0], [0, -1], [], torch.eye(3)])
def test_what_are_no_classes_of_images_is_refused(targets):
    with pytest.raises(
        UsageError, match=r"^`targets` must hold the class of each training image, \(N,\), .* got shape"
    ):
        InstanceSampler(targets)


def test_printed_it_says_what_it_was_made_with():
    sampler = ClassBalancedSampler([0, 0, 1], seed=7)
    assert repr(sampler) == "ClassBalancedSampler(images=3, classes=2, seed=7, samples_per_class=4)"

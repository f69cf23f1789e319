"""Samplers without replacement."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.errors import UsageError
from lt_lightning.samplers import ClassBalancedSampler, InstanceSampler


def test_instance_sampler_shows_every_image_once(targets_of):
    assert sorted(InstanceSampler(targets_of([7, 3, 1])).indices(3).tolist()) == list(range(11))


@settings(max_examples=60)
@given(
    counts=st.lists(st.integers(1, 30), min_size=2, max_size=8),
    samples_per_class=st.integers(1, 5),
    seed=st.integers(0, 20),
)
def test_class_balanced_cycles(targets_of, counts, samples_per_class, seed):
    targets = targets_of(counts)
    drawn = ClassBalancedSampler(targets, seed, samples_per_class).indices(0)
    classes = targets[drawn]
    per_class = torch.bincount(classes, minlength=len(counts))
    assert int(per_class.max() - per_class.min()) <= samples_per_class  # the last cycle of classes may be cut short
    # Each class's own images cycle: no image is one more than once ahead of another of its class.
    uses = torch.bincount(drawn, minlength=len(targets))
    for label in range(len(counts)):
        mine = uses[targets == label]
        assert int(mine.max() - mine.min()) <= 1
    # A turn is `samples_per_class` images of one class in a row.
    for turn in classes.split(samples_per_class):
        assert len(turn.unique()) == 1


def test_a_turn_is_four_images_as_in_the_published_code(targets_of):
    targets = targets_of([16, 16, 16])
    turns = targets[ClassBalancedSampler(targets).indices(0)].view(-1, 4)
    assert torch.equal(turns, turns[:, :1].expand(-1, 4))
    for cycle in turns[:, 0].view(-1, 3):
        assert sorted(cycle.tolist()) == [0, 1, 2]


def test_samples_per_class_is_checked():
    with pytest.raises(UsageError, match="`samples_per_class` must be at least 1, but got 0"):
        ClassBalancedSampler([0, 1], samples_per_class=0)

"""From instance-balanced to class-balanced."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.errors import UsageError
from lt_lightning.samplers import ProgressiveSampler

COUNTS = [900, 90, 10]


def at(sampler: ProgressiveSampler, epoch: int) -> torch.Tensor:
    sampler.set_epoch(epoch)
    return sampler.class_probabilities()


def test_it_starts_with_the_training_set_and_ends_with_equal_classes(targets_of):
    sampler = ProgressiveSampler(targets_of(COUNTS), epochs=5)
    shares = torch.tensor([0.9, 0.09, 0.01], dtype=torch.float64)
    for epoch, progress in enumerate((0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0)):  # longer training stays where it got to
        expected = (1 - progress) * shares + progress / 3
        torch.testing.assert_close(at(sampler, epoch), expected)


@settings(max_examples=20)
@given(counts=st.lists(st.integers(1, 50), min_size=2, max_size=6), epochs=st.integers(1, 9), epoch=st.integers(0, 9))
def test_probabilities_add_up_to_one_and_mix_two_kinds(targets_of, counts, epochs, epoch):
    sampler = ProgressiveSampler(targets_of(counts), epochs=epochs)
    found = at(sampler, epoch)
    assert float(found.sum()) == pytest.approx(1)
    shares = torch.tensor(counts).double() / sum(counts)
    low, high = torch.minimum(shares, torch.tensor(1 / len(counts))), shares.clamp(min=1 / len(counts))
    assert bool(((found >= low - 1e-7) & (found <= high + 1e-7)).all())


def test_each_epoch_draws_by_its_own_probabilities(targets_of):
    targets = targets_of(COUNTS)
    sampler = ProgressiveSampler(targets, epochs=3)
    rare = [int((targets[sampler.indices(epoch)] == 2).sum()) for epoch in range(3)]
    for count, expected in zip(rare, (10, 172, 333), strict=True):
        assert abs(count - expected) < 5 * expected**0.5


def test_one_epoch_is_instance_balanced(targets_of):
    sampler = ProgressiveSampler(targets_of(COUNTS), epochs=1)
    torch.testing.assert_close(at(sampler, 0), torch.tensor([0.9, 0.09, 0.01], dtype=torch.float64))


def test_the_length_is_the_trainers_unless_given(targets_of):
    sampler = ProgressiveSampler(targets_of(COUNTS))
    sampler.set_epochs(11)
    sampler.set_epoch(5)
    assert sampler.progress == 0.5
    given_length = ProgressiveSampler(targets_of(COUNTS), epochs=3)
    given_length.set_epochs(11)
    given_length.set_epoch(1)
    assert given_length.progress == 0.5


def test_an_unknown_length_is_refused(targets_of):
    sentence = r"`ProgressiveSampler` needs to know where training ends: set `trainer\.max_epochs`, or its `epochs`"
    with pytest.raises(UsageError, match=sentence):
        ProgressiveSampler(targets_of(COUNTS)).set_epochs(None)
    with pytest.raises(UsageError, match=sentence):
        ProgressiveSampler(targets_of(COUNTS)).indices(0)
    with pytest.raises(UsageError, match="`epochs` of `ProgressiveSampler` must be at least 1, but got 0"):
        ProgressiveSampler([0], epochs=0)

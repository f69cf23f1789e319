"""Samplers: one global list from (seed, epoch), shared out exactly."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.errors import UsageError
from lt_lightning.samplers import (
    ClassBalancedSampler,
    EpochSampler,
    EvalBatchSampler,
    InstanceSampler,
    InverseFrequencySampler,
    ShardedBatchSampler,
)

SAMPLERS = [InstanceSampler, ClassBalancedSampler, InverseFrequencySampler]
class_counts = st.lists(st.integers(1, 30), min_size=2, max_size=8)


def targets_of(counts: list[int]) -> torch.Tensor:
    """Targets with these counts, deterministically mixed."""
    targets = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return targets[torch.randperm(len(targets), generator=torch.Generator().manual_seed(1))]


@pytest.mark.parametrize("sampler_class", SAMPLERS)
@settings(max_examples=30, deadline=None)
@given(counts=class_counts, seed=st.integers(0, 100), epoch=st.integers(0, 100))
def test_order_depends_on_seed_and_epoch_alone(sampler_class, counts, seed, epoch):
    one, other = sampler_class(targets_of(counts), seed), sampler_class(targets_of(counts), seed)
    torch.manual_seed(epoch + 5)  # the global generator must not matter
    first = one.indices(epoch)
    other.indices(epoch + 1)
    torch.manual_seed(0)
    assert torch.equal(first, other.indices(epoch))
    one.set_epoch(epoch)
    assert list(one) == first.tolist()
    assert len(first) == len(one) == sum(counts)
    assert 0 <= int(first.min()) <= int(first.max()) < sum(counts)


@pytest.mark.parametrize("sampler_class", SAMPLERS)
def test_epochs_and_seeds_differ(sampler_class):
    targets = targets_of([20, 10, 5])
    lists = {tuple(sampler_class(targets, seed).indices(epoch).tolist()) for seed in range(4) for epoch in range(4)}
    assert len(lists) == 16


def test_instance_sampler_shows_every_image_once():
    assert sorted(InstanceSampler(targets_of([7, 3, 1])).indices(3).tolist()) == list(range(11))


@settings(max_examples=60, deadline=None)
@given(counts=class_counts, samples_per_class=st.integers(1, 5), seed=st.integers(0, 20))
def test_class_balanced_cycles(counts, samples_per_class, seed):
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


def test_inverse_frequency_draws_classes_equally():
    targets = targets_of([900, 90, 10])
    drawn = torch.cat([InverseFrequencySampler(targets, 0).indices(epoch) for epoch in range(20)])
    shares = torch.bincount(targets[drawn]) / len(drawn)
    assert torch.allclose(shares, torch.full((3,), 1 / 3), atol=0.015)  # 20,000 draws: 4.5 standard deviations


def test_what_rebalances_says_so():
    assert not InstanceSampler.rebalances
    assert ClassBalancedSampler.rebalances
    assert InverseFrequencySampler.rebalances


@settings(max_examples=100, deadline=None)
@given(counts=class_counts, per_process=st.integers(1, 9), epoch=st.integers(0, 3), world_size=st.integers(1, 8))
def test_union_over_processes_is_the_global_list(counts, per_process, epoch, world_size):
    sampler = InstanceSampler(targets_of(counts), 1)
    if len(sampler) < world_size:
        return
    sampler.set_epoch(epoch)
    batch_size = per_process * world_size
    shares = [list(ShardedBatchSampler(sampler, batch_size, rank, world_size)) for rank in range(world_size)]
    length = len(ShardedBatchSampler(sampler, batch_size, 0, world_size))
    assert [len(share) for share in shares] == [length] * world_size
    assert all(batch for share in shares for batch in share)  # no process idles
    assert sorted(index for share in shares for batch in share for index in batch) == list(range(len(sampler)))
    # Step by step the processes together see the batches that one process would see.
    expected = sampler.indices(epoch)
    for step in range(length - 1):
        together = {index for share in shares for index in share[step]}
        assert together == set(expected[step * batch_size : (step + 1) * batch_size].tolist())


@settings(max_examples=50, deadline=None)
@given(counts=class_counts, batch_size=st.integers(1, 9), data=st.data())
def test_resumed_epoch_shows_what_it_had_not(counts, batch_size, data):
    sampler = InstanceSampler(targets_of(counts), 2)
    whole = list(ShardedBatchSampler(sampler, batch_size))
    seen = data.draw(st.integers(0, len(whole)))
    resumed = ShardedBatchSampler(sampler, batch_size, skip_batches=seen)
    assert list(resumed) == whole[seen:]
    assert list(resumed) == whole  # the next epoch is whole again
    assert len(resumed) == len(whole)


@settings(max_examples=100, deadline=None)
@given(num_samples=st.integers(1, 200), batch_size=st.integers(1, 40), world_size=st.integers(1, 8))
def test_evaluation_counts_every_image_once_in_equal_steps(num_samples, batch_size, world_size):
    if num_samples < world_size:
        with pytest.raises(UsageError, match=f"{num_samples} images cannot be evaluated by {world_size} processes"):
            EvalBatchSampler(num_samples, batch_size, 0, world_size)
        return
    shares = [list(EvalBatchSampler(num_samples, batch_size, rank, world_size)) for rank in range(world_size)]
    assert len({len(share) for share in shares}) == 1
    assert len(shares[0]) == len(EvalBatchSampler(num_samples, batch_size, 0, world_size))
    assert sorted(index for share in shares for batch in share for index in batch) == list(range(num_samples))
    assert all(0 < len(batch) <= batch_size + 1 for share in shares for batch in share)


def test_errors_name_argument_and_value():
    sampler = InstanceSampler([0, 0, 1])
    with pytest.raises(UsageError, match=r"`batch_size` .* multiple of their number, but got 5 for 2 processes"):
        ShardedBatchSampler(sampler, 5, 0, 2)
    with pytest.raises(UsageError, match="3 training images cannot be shared by 4 processes"):
        ShardedBatchSampler(sampler, 4, 0, 4)
    with pytest.raises(UsageError, match="`batch_size` must be at least 1, but got 0"):
        ShardedBatchSampler(sampler, 0)
    with pytest.raises(UsageError, match="`samples_per_class` must be at least 1, but got 0"):
        ClassBalancedSampler([0, 1], samples_per_class=0)
    with pytest.raises(UsageError, match="`targets` has no image of class 1"):
        InstanceSampler([0, 2])
    with pytest.raises(UsageError, match="`eval_batch_size` must be at least 1, but got 0"):
        EvalBatchSampler(3, 0)


def test_a_sampler_of_ones_own_takes_one_method():
    class Backwards(EpochSampler):
        def draw(self, generator):
            return torch.arange(len(self) - 1, -1, -1)

    assert list(ShardedBatchSampler(Backwards([0, 1, 1, 1]), 2, rank=1, world_size=2)) == [[2], [0]]

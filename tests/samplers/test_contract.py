"""What every sampler promises."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning import samplers
from lt_lightning.samplers import (
    ClassBalancedSampler,
    EffectiveNumberSampler,
    EpochSampler,
    EvalBatchSampler,
    InstanceSampler,
    InverseFrequencySampler,
    MultinomialSampler,
    ProgressiveSampler,
    ReversedSampler,
    ShardedBatchSampler,
    SquareRootSampler,
)

ALL = {
    "instance": InstanceSampler,
    "class_balanced": ClassBalancedSampler,
    "inverse_frequency": InverseFrequencySampler,
    "square_root": SquareRootSampler,
    "effective_number": EffectiveNumberSampler,
    "effective_number_flat": partial(EffectiveNumberSampler, beta=0.0),
    "reversed": ReversedSampler,
    "progressive": partial(ProgressiveSampler, epochs=5),
}
every = pytest.mark.parametrize("make", ALL.values(), ids=ALL)
class_counts = st.lists(st.integers(1, 30), min_size=2, max_size=8)


def test_every_public_sampler_is_here():
    here = {type(make([0])) for make in ALL.values()}
    elsewhere = {EpochSampler, MultinomialSampler, ShardedBatchSampler, EvalBatchSampler}
    assert {getattr(samplers, name) for name in samplers.__all__} == here | elsewhere


@every
@settings(max_examples=20)
@given(counts=class_counts, seed=st.integers(0, 100), epoch=st.integers(0, 100))
def test_order_depends_on_seed_and_epoch_alone(targets_of, make, counts, seed, epoch):
    one, other = make(targets_of(counts), seed), make(targets_of(counts), seed)
    torch.manual_seed(epoch + 5)  # the global generator must not matter
    first = one.indices(epoch)
    assert one.epoch == 0  # looking ahead moves nothing
    other.set_epoch(epoch + 1)
    other.indices(epoch + 2)
    torch.manual_seed(0)
    assert torch.equal(first, other.indices(epoch))
    one.set_epoch(epoch)
    assert list(one) == first.tolist()
    assert len(first) == len(one) == sum(counts)
    assert 0 <= int(first.min()) <= int(first.max()) < sum(counts)


@every
def test_epochs_and_seeds_differ(targets_of, make):
    targets = targets_of([20, 10, 5])
    lists = {tuple(make(targets, seed).indices(epoch).tolist()) for seed in range(4) for epoch in range(4)}
    assert len(lists) == 16


@every
@settings(max_examples=20)
@given(counts=class_counts, per_process=st.integers(1, 9), epoch=st.integers(0, 6), world_size=st.integers(1, 8))
def test_union_over_processes_is_the_global_list(targets_of, make, counts, per_process, epoch, world_size):
    sampler = make(targets_of(counts), 1)
    if len(sampler) < world_size:
        return
    sampler.set_epoch(epoch)
    batch_size = per_process * world_size
    shares = [list(ShardedBatchSampler(sampler, batch_size, rank, world_size)) for rank in range(world_size)]
    length = len(ShardedBatchSampler(sampler, batch_size, 0, world_size))
    assert [len(share) for share in shares] == [length] * world_size
    assert all(batch for share in shares for batch in share)  # no process idles
    # Step by step the processes together see the batches that one process would see.
    expected = sampler.indices(epoch).tolist()
    for step in range(length):
        together = sorted(index for share in shares for index in share[step])
        stop = (step + 1) * batch_size if step + 1 < length else len(expected)
        assert together == sorted(expected[step * batch_size : stop])


@every
@settings(max_examples=20)
@given(counts=class_counts, batch_size=st.integers(1, 9), epoch=st.integers(0, 6), data=st.data())
def test_a_resumed_epoch_shows_what_it_had_not(targets_of, make, counts, batch_size, epoch, data):
    sampler = make(targets_of(counts), 2)
    sampler.set_epoch(epoch)
    whole = list(ShardedBatchSampler(sampler, batch_size))
    seen = data.draw(st.integers(0, len(whole)))
    anew = make(targets_of(counts), 2)
    resumed = ShardedBatchSampler(anew, batch_size, skip_batches=seen)
    anew.set_epoch(epoch)
    assert list(resumed) == whole[seen:]
    assert list(resumed) == whole  # the next epoch is whole again
    assert len(resumed) == len(whole)


@pytest.mark.parametrize("counts", [[900, 90, 10], [40, 40, 40]])
@every
def test_what_rebalances_says_so(targets_of, make, counts):
    sampler = make(targets_of(counts))
    instance = isinstance(sampler, InstanceSampler) or getattr(sampler, "beta", 1) == 0
    assert sampler.rebalances is not instance
    # It is asked of a training set with one image a class too, before any image is read.
    assert make(torch.arange(3)).rebalances is sampler.rebalances


@every
def test_one_class_and_one_image_are_enough(make):
    assert make([0]).indices(3).tolist() == [0]
    assert set(make([0, 0, 0]).indices(1).tolist()) <= {0, 1, 2}


@every
def test_a_class_without_images_is_refused(make):
    with pytest.raises(ValueError, match="`targets` has no image of class 1; a sampler needs one of each class at"):
        make([0, 2])

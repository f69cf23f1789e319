"""Global batches shared out to processes; that their union is the list is tested for each sampler in test_contract."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import RandomSampler

from lt_lightning.errors import UsageError
from lt_lightning.samplers import EvalBatchSampler, InstanceSampler, ShardedBatchSampler


@settings(max_examples=60)
@given(length=st.integers(8, 60), per_process=st.integers(1, 9), world_size=st.integers(1, 8))
def test_an_epoch_shows_every_image_once_in_equal_steps(length, per_process, world_size):
    sampler = InstanceSampler([0] * length)
    batch_size = per_process * world_size
    shares = [list(ShardedBatchSampler(sampler, batch_size, rank, world_size)) for rank in range(world_size)]
    assert sorted(index for share in shares for batch in share for index in batch) == list(range(length))
    steps = {len(share) for share in shares}
    assert steps == {len(ShardedBatchSampler(sampler, batch_size, 0, world_size))}
    # The last batch stands alone as soon as each process has an image of it.
    assert steps.pop() == max(length // batch_size + (length % batch_size >= world_size), 1)


@settings(max_examples=100)
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
    # Where one process has an image more than another and batches hold one, it has a batch of two.
    most = 2 if batch_size == 1 and num_samples % world_size else batch_size
    assert all(0 < len(batch) <= most for share in shares for batch in share)


def test_errors_name_argument_and_value():
    sampler = InstanceSampler([0, 0, 1])
    with pytest.raises(UsageError, match=r"`batch_size` .* multiple of their number, but got 5 for 2 processes"):
        ShardedBatchSampler(sampler, 5, 0, 2)
    with pytest.raises(UsageError, match="3 training images cannot be shared by 4 processes"):
        ShardedBatchSampler(sampler, 4, 0, 4)
    with pytest.raises(UsageError, match="`batch_size` must be at least 1, but got 0"):
        ShardedBatchSampler(sampler, 0)
    with pytest.raises(UsageError, match="`sampler` must be an EpochSampler, but got a RandomSampler"):
        ShardedBatchSampler(RandomSampler([0, 1]), 2)
    for rank, world_size in ((2, 2), (-1, 2), (0, 0)):  # which would repeat images, or lose them
        sentence = f"`rank` must lie in 0 to `world_size` - 1, but got {rank} for {world_size} processes"
        with pytest.raises(UsageError, match=sentence):
            ShardedBatchSampler(sampler, 2, rank, world_size)
        with pytest.raises(UsageError, match=sentence):
            EvalBatchSampler(3, 2, rank, world_size)
    with pytest.raises(UsageError, match="`batch_size` must be at least 1, but got 0"):
        EvalBatchSampler(3, 0)

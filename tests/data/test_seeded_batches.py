import torch

from lt_lightning.data.seeded_batches import SeededBatches
from lt_lightning.samplers import InstanceSampler, ShardedBatchSampler


def seeds_of(epoch=0, **options):
    sampler = InstanceSampler(torch.zeros(10, dtype=torch.int64), seed=1)
    sampler.set_epoch(epoch)
    plain, seeded = (ShardedBatchSampler(sampler, 4, **options) for _ in range(2))
    batches = list(SeededBatches(seeded))
    assert batches == list(plain)
    return [batch.seed for batch in batches]


def test_every_batch_has_a_seed_of_its_own(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "4")
    first = seeds_of()
    others = [seeds_of(epoch=1), seeds_of(rank=0, world_size=2), seeds_of(rank=1, world_size=2)]
    assert others[1] == first  # the first of two processes is known by its number alone
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    found = [*first, *others[0], *others[2], *seeds_of()]
    assert len(set(found)) == len(found) == 12


def test_a_resumed_epoch_has_the_seeds_of_its_steps():
    assert seeds_of(skip_batches=1) == seeds_of()[1:]


def test_lightning_finds_the_sampler_and_the_number_of_batches():
    sampler = InstanceSampler(torch.zeros(10, dtype=torch.int64), seed=1)
    batches = SeededBatches(ShardedBatchSampler(sampler, 4))
    assert batches.sampler is sampler
    assert len(batches) == 3

"""A loader of whole batches."""

import torch

from lt_lightning.data.loading import LateLoader, as_is


class Watched(torch.utils.data.Sampler):
    def __init__(self):
        self.started = False

    def __iter__(self):
        self.started = True
        yield [1, 2]


def test_nothing_is_drawn_before_the_first_batch_is_asked_for():
    batches = Watched()
    loader = LateLoader(torch.arange(4), batch_sampler=batches, collate_fn=as_is)
    found = iter(loader)
    assert not batches.started
    assert next(found) == [1, 2]
    assert batches.started


def test_a_batch_stays_what_it_is():
    batch = object()
    assert as_is(batch) is batch

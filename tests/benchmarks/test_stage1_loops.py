from types import SimpleNamespace

import pytest
import torch
from published_loop import PublishedLoop
from timed_fit import MadeUpLT
from timing_stage1 import loops
from timing_stage1.loops import Bare, Published
from torch import nn


def test_the_bare_loop_takes_full_batches_and_an_epoch_again_after_its_end():
    loop = Bare("ResNet20", MadeUpLT(), 4000, "32-true", "eager", "cpu")
    batches = [rows.tolist() for rows in loop.batches(3)]
    assert [len(set(rows)) for rows in batches] == [4000] * 3
    assert batches[0] == batches[2]
    assert not set(batches[0]) & set(batches[1])


@pytest.mark.parametrize(("device", "pinned"), [("cpu", False), ("cuda", True)])
def test_published_code_reads_into_pinned_memory_for_a_gpu(monkeypatch, device, pinned):
    monkeypatch.setattr(loops, "WORKERS", 0)
    monkeypatch.setattr(loops, "network", lambda *_: SimpleNamespace(to=lambda _: nn.Linear(1, 1)))
    made = Published("ResNet20", MadeUpLT(), 4, device, 100)
    assert (made.train.pin_memory, made.test.pin_memory) == (pinned, pinned)


def test_published_code_waits_for_no_batch_on_its_way():
    sent = []

    class Batch:
        def to(self, device, non_blocking=False):
            sent.append((device, non_blocking))
            return torch.zeros(2, 3) if len(sent) % 2 else torch.zeros(2, dtype=torch.int64)

    network = nn.Linear(3, 4)
    PublishedLoop(network, torch.optim.SGD(network.parameters(), lr=0.1), "cpu").step(Batch(), Batch())
    assert sent == [("cpu", True)] * 2

"""What it gives on two processes is in test_two_processes.py."""

import torch

from lt_lightning.losses.gather import joint_batch


def test_one_process_keeps_its_batch() -> None:
    logits, targets = torch.zeros(2, 3, requires_grad=True), torch.tensor([0, 2])
    found = joint_batch(logits, targets)
    assert found[0] is logits
    assert found[1] is targets

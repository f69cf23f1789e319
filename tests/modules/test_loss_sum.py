"""Losses that are added up."""

import torch

from lt_lightning.modules.loss_sum import LossSum


def test_a_mean_has_more_digits_than_the_losses_and_goes_on_from_what_was_kept():
    losses = LossSum()
    for _ in range(1000):
        losses.add(torch.tensor(1.0, dtype=torch.bfloat16))  # of which 256 and one more are 256
    assert losses.mean() == 1
    resumed = LossSum(**losses.state())
    resumed.add(torch.tensor(1002.0))
    assert (resumed.mean().dtype, resumed.mean()) == (torch.float32, 2002 / 1001)

"""Logits of stage 1 under several heads."""

import torch

from lt_lightning.heads import LWSHead
from lt_lightning.retraining.stacks.frozen import FrozenLogits
from lt_lightning.retraining.stacks.lws import LWSStack

COUNTS, D, N = [4, 2, 1], 5, 6


@torch.no_grad()
def test_heads_from_one_stage_1_share_its_logits():
    heads = [LWSHead(D, COUNTS) for _ in range(2)]
    stack = LWSStack(heads, 0.9)
    assert FrozenLogits(stack)(torch.ones(N, D)).shape == (N, 2, 3)
    heads[1].weight.copy_(heads[0].weight)
    heads[1].bias.copy_(heads[0].bias)
    assert FrozenLogits(stack)(torch.ones(N, D)).shape == (N, 1, 3)

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
    assert FrozenLogits(stack)(torch.ones(N, D)).shape == (N, 2, 3)
    heads[1].bias.copy_(heads[0].bias)
    heads[1].weight[2, 4] += 1
    features = torch.randn(N, D, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([head(features) for head in heads], dim=1)  # factors are 1
    torch.testing.assert_close(FrozenLogits(stack)(features), expected)
    heads[1].weight.copy_(heads[0].weight)
    shared = FrozenLogits(stack)
    assert shared(torch.ones(N, D)).shape == (N, 1, 3)
    assert shared.weight.untyped_storage().nbytes() == 3 * D * 4  # not of both

"""Cosine heads side by side."""

import torch

from lt_lightning.heads import CosineHead
from lt_lightning.retraining.stacks.cosine import CosineStack

COUNTS, D, N = [4, 2, 1], 5, 6


def numbers(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@torch.no_grad()
def test_weights_of_no_length_or_next_to_none():
    head = CosineHead(D, COUNTS).double()
    head.weight[1] = 0.0
    head.weight[2] *= 1e-12 / (2 * head.weight[2].norm())  # half the least norm that anything is divided by
    stack = CosineStack([head], 0.0)
    logits, pull = stack.forward(numbers(N, D, seed=1))
    slopes = numbers(N, 1, len(COUNTS), seed=2)
    pull(slopes.clone(), 1.0)
    with torch.enable_grad():
        expected = head(numbers(N, D, seed=1))
    (gradient,) = torch.autograd.grad(expected, [head.weight], slopes[:, 0])
    assert (logits[:, 0, 1] == 0).all()
    torch.testing.assert_close(stack.velocities[0][0], gradient)

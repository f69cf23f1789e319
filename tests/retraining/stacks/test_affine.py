"""Linear heads side by side."""

import torch

from lt_lightning.heads import LinearHead, MaxNormHead
from lt_lightning.retraining.stacks.affine import AffineStack

COUNTS, D = [4, 2, 1], 5


@torch.no_grad()
def test_weights_of_no_length_have_room_within_a_radius_of_0():
    head = MaxNormHead(D, COUNTS)
    head.init_from(torch.zeros(3, D), None)
    stack = AffineStack([head], 0.9)
    stack.project(at_step=True)
    assert torch.equal(stack.values[0], torch.zeros(1, 3, D))


@torch.no_grad()
def test_only_heads_with_a_radius_are_shortened_and_only_when_due():
    heads = [
        LinearHead(D, COUNTS),
        MaxNormHead(D, COUNTS, radius=0.1),
        MaxNormHead(D, COUNTS, radius=0.1, project_every="epoch"),
    ]
    stack = AffineStack(heads, 0.9)
    before = [head.weight.clone() for head in heads]
    stack.project(at_step=True)
    heads[1].project_()
    torch.testing.assert_close(stack.values[0], torch.stack([before[0], heads[1].weight, before[2]]))
    stack.project(at_step=False)
    heads[2].project_()
    torch.testing.assert_close(stack.values[0], torch.stack([before[0], heads[1].weight, heads[2].weight]))

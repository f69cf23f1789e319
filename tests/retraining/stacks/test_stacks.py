"""Every stack of heads gives each head's logits, and its gradients as velocities."""

from functools import partial

import pytest
import torch

from lt_lightning.heads import CosineHead, DisAlignHead, LinearHead, LWSHead, MaxNormHead, NCMHead
from lt_lightning.retraining.stacks import stack_for

COUNTS, D, N = [4, 2, 1], 5, 6
HEADS = {
    "linear": LinearHead,
    "max_norm": partial(MaxNormHead, radius=0.3),
    "cosine": CosineHead,
    "cosine_learnt": partial(CosineHead, scale=3.0, learnable_scale=True),
    "lws": LWSHead,
    "disalign": DisAlignHead,
}


def numbers(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def heads_of(make, number=3):
    torch.manual_seed(0)
    heads = [make(D, COUNTS).double() for _ in range(number)]
    for place, head in enumerate(heads):
        for parameter in head.parameters():
            if parameter.requires_grad:
                parameter.data += 0.1 * numbers(*parameter.shape, seed=place)
    return heads


@pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("same_start", [False, True])
@torch.no_grad()
def test_logits_and_velocities(make, same_start):
    heads = heads_of(make)
    if same_start:  # as from one stage 1
        for head in heads[1:]:
            head.weight.copy_(heads[0].weight)
            if head.bias is not None:
                head.bias.copy_(heads[0].bias)
    kind = stack_for(heads[0])
    stack = kind(heads, 0.5)
    features, slopes = numbers(N, D, seed=7), numbers(N, 3, len(COUNTS), seed=8)
    for velocity in stack.velocities:
        velocity += 1
    logits, pull = stack.forward(features)
    assert logits.is_contiguous()
    pull(slopes.clone(), 0.25)
    for place, head in enumerate(heads):
        with torch.enable_grad():
            expected = head(features)
        torch.testing.assert_close(logits[:, place], expected.detach(), rtol=0, atol=1e-12)
        trained = [head.get_parameter(name) for name in kind.names(head)]
        assert {id(value) for value in trained} == {id(value) for value in head.parameters() if value.requires_grad}
        gradients = torch.autograd.grad(expected, trained, slopes[:, place] * 0.25)
        for velocity, gradient in zip(stack.velocities, gradients, strict=True):
            torch.testing.assert_close(velocity[place], gradient + 0.5, rtol=0, atol=1e-12)


def test_other_heads_train_alone():
    class Derived(LinearHead):
        pass

    assert stack_for(Derived(D, COUNTS)) is None
    assert stack_for(NCMHead(D, COUNTS)) is None

"""Which runs share a stack, and what a stack gives back."""

from functools import partial

import pytest
import torch

from lt_lightning.heads import CosineHead, LinearHead, LWSHead, MaxNormHead
from lt_lightning.losses import ClassBalancedLoss, CrossEntropyLoss, LORTLoss
from lt_lightning.retraining import HeadRun
from lt_lightning.retraining.stacked import Stack, stackable
from lt_lightning.samplers import InstanceSampler
from lt_lightning.schedules import CosineLR

COUNTS = [4, 2, 1]


def run(head=LinearHead, loss=CrossEntropyLoss, frozen="", **options):
    made = head(5, COUNTS)
    for name, parameter in made.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and name != frozen)
    trained = [parameter for parameter in made.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, **{"lr": 0.1, "momentum": 0.9, **options})
    return HeadRun(made, loss(COUNTS), optimizer, CosineLR(optimizer), InstanceSampler([0, 1, 2]), 2, 1)


@pytest.mark.parametrize("parts", [{}, {"head": partial(MaxNormHead, radius=1.0)}, {"loss": LORTLoss}])
def test_linear_heads_with_softmax_losses_and_plain_sgd(parts):
    assert stackable(run(**parts))


@pytest.mark.parametrize(
    "parts",
    [
        {"head": CosineHead},
        {"head": LWSHead},
        {"loss": partial(ClassBalancedLoss, kind="sigmoid")},
        {"frozen": "bias"},
        {"nesterov": True},
        {"dampening": 0.1, "momentum": 0.5},
    ],
)
def test_others_train_alone(parts):
    assert not stackable(run(**parts))


def test_heads_keep_their_weights_until_they_are_written_back():
    runs = [run(), run(loss=LORTLoss)]
    before = [each.head.weight.detach().clone() for each in runs]
    stack = Stack(runs)
    stack.step(torch.randn(4, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0]))
    assert all(torch.equal(each.head.weight, start) for each, start in zip(runs, before, strict=True))
    stack.write_back()
    assert not any(torch.equal(each.head.weight, start) for each, start in zip(runs, before, strict=True))
    assert all(each.head.weight.requires_grad for each in runs)

"""Which runs share a stack, and what a stack gives back."""

from functools import partial

import pytest
import torch
from torch.optim.lr_scheduler import ChainedScheduler, ConstantLR, CyclicLR, OneCycleLR, SequentialLR

from lt_lightning.heads import CosineHead, LinearHead, LWSHead, MaxNormHead
from lt_lightning.losses import ClassBalancedLoss, CrossEntropyLoss, LORTLoss
from lt_lightning.retraining import HeadRun
from lt_lightning.retraining.stacked_sgd import StackedSGD, stack_key
from lt_lightning.samplers import InstanceSampler
from lt_lightning.schedules import CosineLR

COUNTS = [4, 2, 1]


def run(head=LinearHead, loss=CrossEntropyLoss, frozen="", schedule=CosineLR, **options):
    made = head(5, COUNTS)
    for name, parameter in made.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and name != frozen)
    trained = [parameter for parameter in made.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, **{"lr": 0.1, "momentum": 0.9, **options})
    return HeadRun(made, loss(COUNTS), optimizer, schedule(optimizer), InstanceSampler([0, 1, 2]), 2, 1)


ALIKE = [
    {},
    {"head": partial(MaxNormHead, radius=1.0)},
    {"loss": LORTLoss},
    {"lr": 0.5, "weight_decay": 0.1},
]


@pytest.mark.parametrize("parts", ALIKE)
def test_linear_heads_with_softmax_losses_share_a_stack(parts):
    assert stack_key(run(**parts)) == stack_key(run())


@pytest.mark.parametrize(
    "parts",
    [{"head": CosineHead}, {"head": LWSHead}, {"loss": partial(ClassBalancedLoss, kind="sigmoid")}, {"momentum": 0.5}],
)
def test_others_have_their_own(parts):
    assert stack_key(run(**parts)) not in (None, stack_key(run()))


def test_a_learnt_scale_is_not_stacked_with_a_fixed_one():
    assert stack_key(run(head=CosineHead)) != stack_key(run(head=partial(CosineHead, learnable_scale=True)))


@pytest.mark.parametrize(
    "parts", [{"frozen": "bias"}, {"nesterov": True}, {"dampening": 0.1, "momentum": 0.5}, {"maximize": True}]
)
def test_other_sgd_trains_alone(parts):
    assert stack_key(run(**parts)) is None


cyclic = partial(CyclicLR, base_lr=0.01, max_lr=0.1)
one_cycle = partial(OneCycleLR, max_lr=0.1, total_steps=3)


class Own(ConstantLR):
    """May do what it likes with the momentum."""


@pytest.mark.parametrize(
    "schedule",
    [
        cyclic,
        one_cycle,
        Own,
        lambda o: SequentialLR(o, [ConstantLR(o), one_cycle(o)], [1]),
        lambda o: ChainedScheduler([ConstantLR(o), cyclic(o)]),
    ],
)
def test_a_momentum_that_moves_is_autograds(schedule):
    """A stack has one momentum for all of training."""
    assert stack_key(run(schedule=schedule)) is None
    assert stack_key(run(schedule=partial(cyclic, cycle_momentum=False))) == stack_key(run())


def test_an_optimiser_of_ones_own_or_under_way_trains_alone():
    class Own(torch.optim.SGD):
        pass

    own, under_way = run(), run()
    own.optimizer = Own(own.head.parameters(), lr=0.1, momentum=0.9)
    assert stack_key(own) is None
    under_way.head(torch.ones(1, 5)).sum().backward()
    under_way.optimizer.step()  # its momentum is no longer 0
    assert stack_key(under_way) is None


def test_a_weight_set_free_trains_alone():
    freed = run(head=LWSHead)
    freed.head.weight.requires_grad_()
    assert stack_key(freed) is None


def test_heads_keep_their_weights_until_they_are_written_back():
    runs = [run(), run(loss=LORTLoss)]
    before = [each.head.weight.detach().clone() for each in runs]
    stack = StackedSGD(runs)
    stack.step(torch.randn(4, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0]))
    assert all(torch.equal(each.head.weight, start) for each, start in zip(runs, before, strict=True))
    stack.write_back()
    assert not any(torch.equal(each.head.weight, start) for each, start in zip(runs, before, strict=True))
    assert all(each.head.weight.requires_grad for each in runs)

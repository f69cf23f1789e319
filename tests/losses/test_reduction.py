from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.nn import functional as F

from lt_lightning.losses import (
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    CrossEntropyLoss,
    FocalLoss,
    InfluenceBalancedLoss,
    LabelAwareSmoothingLoss,
    LargeMarginSoftmaxLoss,
    LDAMLoss,
    Loss,
)
from lt_lightning.losses.reduction import cross_entropy, weighted_mean
from tests.two_processes import in_two_processes

COUNTS = [90, 20, 4]
WEIGHT = [0.1, 0.7, 2.2]
LOSSES: list[Loss] = [
    CrossEntropyLoss(COUNTS, WEIGHT),
    CrossEntropyLoss(COUNTS, WEIGHT, label_smoothing=0.3),
    BalancedSoftmaxLoss(COUNTS, WEIGHT),
    ClassBalancedLoss(COUNTS),
    LDAMLoss(COUNTS, weight=WEIGHT),
    FocalLoss(COUNTS),
    FocalLoss(COUNTS, weight=WEIGHT),
    LargeMarginSoftmaxLoss(COUNTS, weight=WEIGHT),
    LabelAwareSmoothingLoss(COUNTS, weight=WEIGHT),
    InfluenceBalancedLoss(COUNTS, weight=WEIGHT),
    CrossEntropyLoss(COUNTS, WEIGHT, reduction="sum"),
    FocalLoss(COUNTS, reduction="sum"),
]


def joint_batch() -> tuple[torch.Tensor, torch.Tensor]:
    features = torch.randn(8, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return features, torch.tensor([0, 0, 2, 0, 1, 0, 2, 1])


def classifier() -> torch.nn.Linear:
    torch.manual_seed(5)
    return torch.nn.Linear(4, 3, dtype=torch.float64)


Results = tuple[list[torch.Tensor], list[list[torch.Tensor]]]


def work(rank: int) -> Results:
    """One of two processes: training values and gradients of its uneven share of the joint batch."""
    features, targets = joint_batch()
    share = slice(0, 5) if rank == 0 else slice(5, 8)
    values, gradients = [], []
    for loss in LOSSES:
        model = classifier()
        value = loss(model(features[share]), targets[share], features[share])
        value.backward()
        values.append(value.detach())
        # What DistributedDataParallel does; importing it would take longer than the rest of this test.
        for parameter in model.parameters():
            dist.all_reduce(parameter.grad)
            parameter.grad /= 2
        gradients.append([parameter.grad for parameter in model.parameters()])
    if rank == 0:  # would hang if evaluation waited for the other process
        with torch.no_grad():
            values.append(LOSSES[0](classifier()(features[share]), targets[share]))
    return values, gradients


def test_two_processes_equal_one_on_the_joint_batch(tmp_path: Path) -> None:
    ((*values_0, evaluation), gradients_0), (values_1, gradients_1) = in_two_processes(work, tmp_path)
    features, targets = joint_batch()
    for i, loss in enumerate(LOSSES):
        model = classifier()
        value = loss(model(features), targets, features)
        value.backward()
        torch.testing.assert_close((values_0[i] + values_1[i]) / 2, value.detach(), rtol=1e-12, atol=0)
        assert not torch.isclose(values_0[i], value.detach())  # each process alone has another mean
        for of_0, of_1, parameter in zip(gradients_0[i], gradients_1[i], model.parameters(), strict=True):
            torch.testing.assert_close(of_0, parameter.grad, rtol=1e-10, atol=1e-12)
            assert torch.equal(of_0, of_1)
    alone = LOSSES[0](classifier()(features[:5]), targets[:5]).detach()
    torch.testing.assert_close(evaluation, alone, rtol=1e-12, atol=0)


def test_weighted_mean() -> None:
    losses, weights = torch.tensor([1.0, 3.0]), torch.tensor([3.0, 1.0])
    assert weighted_mean(losses * weights, weights).item() == pytest.approx(1.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_that_are_all_zero_give_zero(dtype: torch.dtype) -> None:
    zero = torch.zeros(2, dtype=dtype)
    assert weighted_mean(zero, zero).item() == 0.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_cross_entropy_raises_half_precision(dtype: torch.dtype) -> None:
    logits, targets = torch.tensor([[3.0, 1.0], [0.0, 2.0]], dtype=dtype), torch.tensor([1, 1])
    found = cross_entropy(logits, targets, torch.tensor([1.0, 2.0], dtype=torch.float64))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, F.cross_entropy(logits.float(), targets))

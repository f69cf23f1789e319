"""Losses on two processes with uneven shares of a batch give what one process gives on all of it."""

from pathlib import Path

import torch
import torch.distributed as dist

from lt_lightning.losses import (
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    CrossEntropyLoss,
    EqualizationLossV2,
    FocalLoss,
    HardSelectionLogisticLoss,
    InfluenceBalancedLoss,
    LabelAwareSmoothingLoss,
    LargeMarginSoftmaxLoss,
    LDAMLoss,
    LGLINRLoss,
    LogisticLoss,
    Loss,
    SeesawLoss,
    SoftSelectionLogisticLoss,
)
from tests.two_processes import in_two_processes

COUNTS = [90, 20, 4]
WEIGHT = [0.1, 0.7, 2.2]
STEPS = 3


def losses() -> list[Loss]:
    return [
        CrossEntropyLoss(COUNTS, WEIGHT),
        CrossEntropyLoss(COUNTS, WEIGHT, label_smoothing=0.3),
        CrossEntropyLoss(COUNTS, WEIGHT, reduction="sum"),
        BalancedSoftmaxLoss(COUNTS, WEIGHT),
        LDAMLoss(COUNTS, weight=WEIGHT),
        FocalLoss(COUNTS),
        FocalLoss(COUNTS, weight=WEIGHT),
        FocalLoss(COUNTS, reduction="sum"),
        LargeMarginSoftmaxLoss(COUNTS, weight=WEIGHT),
        LabelAwareSmoothingLoss(COUNTS, weight=WEIGHT),
        InfluenceBalancedLoss(COUNTS, weight=WEIGHT),
        SeesawLoss(COUNTS),
        SeesawLoss(COUNTS, weight=WEIGHT),
        LogisticLoss(COUNTS),
        LogisticLoss(COUNTS, WEIGHT),
        HardSelectionLogisticLoss(COUNTS, m=60.0),
        SoftSelectionLogisticLoss(COUNTS, weight=WEIGHT),
        ClassBalancedLoss(COUNTS),
        ClassBalancedLoss(COUNTS, kind="sigmoid"),
        ClassBalancedLoss(COUNTS, kind="focal"),
        ClassBalancedLoss(COUNTS, kind="softmax_bce"),
        EqualizationLossV2(COUNTS),
        EqualizationLossV2(COUNTS, weight=WEIGHT),
        LGLINRLoss(COUNTS, gather=True),
    ]


def joint_batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    features = torch.randn(8, 4, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
    return features, torch.tensor([0, 0, 2, 0, 1, 0, 2, 1]).roll(step)


def classifier() -> torch.nn.Linear:
    torch.manual_seed(5)
    return torch.nn.Linear(4, 3, dtype=torch.float64)


Trained = dict[str, list[torch.Tensor]]


def train(loss: Loss, share: slice, processes: int) -> Trained:
    """Own values, averaged values, averaged gradients and the state after some batches."""
    found: Trained = {"own": [], "values": [], "gradients": [], "state": []}
    for step in range(STEPS):
        model = classifier()
        features, targets = joint_batch(step)
        value = loss(model(features[share]), targets[share], features[share])
        value.backward()
        found["own"].append(value.detach())
        value = value.detach().clone()
        for tensor in (value, model.weight.grad, model.bias.grad):
            if processes > 1:  # what DistributedDataParallel does to gradients
                dist.all_reduce(tensor)
            tensor /= processes
        found["values"].append(value)
        found["gradients"] += [model.weight.grad, model.bias.grad]
    found["state"] = list(loss.state_dict().values())
    return found


def evaluated(share: slice) -> list[torch.Tensor]:
    """What each loss is of a share without gradients."""
    features, targets = joint_batch(0)
    with torch.no_grad():
        return [loss(classifier()(features[share]), targets[share], features[share]) for loss in losses()]


def work(rank: int) -> tuple[list[Trained], list[torch.Tensor]]:
    """What one of two processes finds."""
    share = slice(0, 5) if rank == 0 else slice(5, 8)
    found = [train(loss, share, 2) for loss in losses()]
    return found, evaluated(share) if rank == 0 else []  # would hang if evaluation waited for the other process


def test_two_processes_equal_one_on_the_joint_batch(tmp_path: Path) -> None:
    (of_0, evaluation), (of_1, _) = in_two_processes(work, tmp_path)
    alone = [train(loss, slice(0, 8), 1) for loss in losses()]
    for loss, both, other, one in zip(losses(), of_0, of_1, alone, strict=True):
        for key, rtol in (("values", 1e-12), ("gradients", 1e-10), ("state", 1e-9)):
            torch.testing.assert_close(both[key], one[key], rtol=rtol, atol=1e-12)
            assert all(torch.equal(own, same) for own, same in zip(both[key], other[key], strict=True))
        # Each process alone has another mean, unless it gathers logits.
        assert isinstance(loss, LGLINRLoss) or not torch.isclose(both["own"][0], one["values"][0]), loss
    torch.testing.assert_close(evaluation, evaluated(slice(0, 5)), rtol=1e-12, atol=0)
    assert len(alone[-2]["state"]) == 2
    local = train(LGLINRLoss(COUNTS), slice(0, 5), 1)
    assert not torch.isclose(local["values"][0], alone[-1]["values"][0])  # without gathering, its own means

"""What makes up a run."""

import torch

from lt_lightning.heads import LinearHead
from lt_lightning.losses import LORTLoss
from lt_lightning.retraining import HeadRun
from lt_lightning.samplers import InstanceSampler
from lt_lightning.schedules import CosineLR


def test_runs_of_equal_parts_stay_two() -> None:
    head = LinearHead(3, [2, 1])
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    parts = (head, LORTLoss([2, 1]), optimizer, CosineLR(optimizer), InstanceSampler([0, 0, 1]), 2, 1)
    one, other = HeadRun(*parts), HeadRun(*parts)
    assert one != other
    assert len({one, other}) == 2

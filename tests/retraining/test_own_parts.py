"""What parts of one's own are given."""

import pytest
import torch

from lt_lightning.heads import LinearHead, TauNormHead
from lt_lightning.losses import CrossEntropyLoss, LORTLoss
from lt_lightning.retraining.own_parts import is_known, unshared
from lt_lightning.schedules import CosineLR

COUNTS = [2, 1]


class OwnHead(LinearHead):
    """A user's head."""


class OwnLoss(CrossEntropyLoss):
    """A user's loss."""


class OwnSGD(torch.optim.SGD):
    """A user's optimiser."""


@pytest.mark.parametrize("parts", [(TauNormHead(3, COUNTS),), (LinearHead(3, COUNTS), LORTLoss(COUNTS))])
def test_the_package_s_own_get_the_tensor_itself(parts):
    features = torch.rand(4, 3)
    assert unshared(features, *parts) is features


@pytest.mark.parametrize(
    "parts", [(OwnHead(3, COUNTS),), (OwnHead(3, COUNTS), LORTLoss(COUNTS)), (LinearHead(3, COUNTS), OwnLoss(COUNTS))]
)
def test_others_get_one_that_they_may_write_into(parts):
    features = torch.rand(4, 3)
    before = features.clone()
    given = unshared(features, *parts)
    assert torch.equal(given, features)
    given.zero_()
    assert torch.equal(features, before)


def test_parts_of_torch_are_known_too():
    head = LinearHead(3, COUNTS)
    sgd, own = (kind(head.parameters(), lr=0.1) for kind in (torch.optim.SGD, OwnSGD))
    scheduler = torch.optim.lr_scheduler.StepLR(sgd, 1)
    assert all(map(is_known, (head, LORTLoss(COUNTS), sgd, CosineLR(sgd), scheduler)))
    assert not any(map(is_known, (OwnHead(3, COUNTS), OwnLoss(COUNTS), own)))

import pytest
import torch
from torch import nn

from lt_lightning.errors import UsageError
from lt_lightning.heads import CosineHead, LinearHead, LWSHead, TauNormHead
from lt_lightning.metrics import weight_cosines, weight_norms

WEIGHT = torch.tensor([[3.0, 4.0], [0.0, 2.0]])


def test_of_a_plain_classifier() -> None:
    head = LinearHead(2, [5, 3])
    head.init_from(WEIGHT, None)
    norms = weight_norms(head)
    assert norms.tolist() == [5.0, 2.0]
    assert not norms.requires_grad


def test_of_what_acts_on_features() -> None:
    tau_norm, lws = TauNormHead(2, [5, 3], tau=1.0), LWSHead(2, [5, 3])
    tau_norm.init_from(WEIGHT, None)
    lws.init_from(WEIGHT, None)
    with torch.no_grad():
        lws.scales.copy_(torch.tensor([1.0, 10.0]))
    torch.testing.assert_close(weight_norms(tau_norm), torch.ones(2))
    assert weight_norms(lws).tolist() == [5.0, 20.0]


def test_own_weight_where_there_is_no_linear_layer() -> None:
    head = CosineHead(2, [5, 3])
    head.init_from(WEIGHT, None)
    assert weight_norms(head).tolist() == [5.0, 2.0]
    assert weight_norms(nn.Linear(2, 3)).shape == (3,)


def test_a_head_without_weights_is_refused() -> None:
    with pytest.raises(UsageError, match="`head` Identity has no weight per class"):
        weight_norms(nn.Identity())


def test_cosines_of_what_acts_on_features() -> None:
    head = TauNormHead(2, [5, 3, 2], tau=1.0)
    head.init_from(torch.tensor([[3.0, 0.0], [0.0, 2.0], [-1.0, 0.0]]), None)
    found = weight_cosines(head)
    torch.testing.assert_close(found["mean"], torch.tensor([-0.5, 0.0, -0.5]))
    torch.testing.assert_close(found["max"], torch.zeros(3))
    assert not found["max"].requires_grad


def test_one_class_has_no_angle() -> None:
    with pytest.raises(UsageError, match="`head` Linear must have at least 2 classes, but has 1"):
        weight_cosines(nn.Linear(3, 1))
    with pytest.raises(UsageError, match="`head` Identity has no weight per class"):
        weight_cosines(nn.Identity())

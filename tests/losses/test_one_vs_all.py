import math
from functools import partial

import pytest
import torch

from lt_lightning import losses
from lt_lightning.errors import UsageError
from lt_lightning.losses import ClassBalancedLoss
from lt_lightning.losses.one_vs_all import OneVsAllLoss, bias_of_one_in

COUNTS = [500, 30, 4, 1]
MAKERS = [
    losses.LogisticLoss,
    losses.HardSelectionLogisticLoss,
    losses.SoftSelectionLogisticLoss,
    losses.LGLINRLoss,
    losses.EqualizationLossV2,
    partial(ClassBalancedLoss, kind="sigmoid"),
    partial(ClassBalancedLoss, kind="focal"),
]


@pytest.mark.parametrize("make", MAKERS)
def test_bias_on_request(make) -> None:
    assert make(COUNTS).initial_bias is None
    assert make(COUNTS, init_bias=True).initial_bias == pytest.approx(-math.log(3))


@pytest.mark.parametrize("k", [2, 5, 8142])
def test_bias_gives_each_class_its_share(k: int) -> None:
    bias = torch.tensor(bias_of_one_in(k), dtype=torch.float64)
    assert torch.sigmoid(bias).item() == pytest.approx(1 / k)


@pytest.mark.parametrize("make", MAKERS)
def test_one_class_is_refused(make) -> None:
    with pytest.raises(UsageError, match=r"`class_counts` must have at least 2 classes, but got \[9\]"):
        make([9])


def test_probabilities_of_half_precision() -> None:
    loss: OneVsAllLoss = losses.LogisticLoss(COUNTS)
    found = loss.probabilities(torch.tensor([[0.0, 1.0, -1.0, 4.0]], dtype=torch.bfloat16))
    torch.testing.assert_close(found, torch.sigmoid(torch.tensor([[0.0, 1.0, -1.0, 4.0]])))

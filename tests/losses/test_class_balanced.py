import math
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from lt_lightning.errors import UsageError
from lt_lightning.losses import ClassBalancedLoss
from lt_lightning.losses.class_balanced import Kind

COUNTS = [500, 30, 1]
LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0], [2.0, 2.0, -2.0]], dtype=torch.float64)
TARGETS = torch.tensor([0, 2, 1])


def test_reference_numbers(assert_golden: Callable[[str], None]) -> None:
    assert_golden("ClassBalancedLoss")


@pytest.mark.parametrize("kind", ["softmax", "sigmoid", "focal", "softmax_bce"])
def test_sums_written_out(kind: Kind) -> None:
    beta, gamma = 0.99, 1.5
    weights = [(1 - beta) / (1 - beta**n) for n in COUNTS]
    weights = [w * len(COUNTS) / sum(weights) for w in weights]
    total = 0.0
    for row, y in zip(LOGITS.tolist(), TARGETS.tolist(), strict=True):
        softmax = [math.exp(z) / sum(map(math.exp, row)) for z in row]
        for k, z in enumerate(row):
            p = softmax[k] if kind.startswith("softmax") else 1 / (1 + math.exp(-z))
            p_truth = p if k == y else 1 - p
            factor = (1 - p_truth) ** gamma if kind == "focal" else 1.0
            if kind != "softmax" or k == y:
                total -= weights[y] * factor * math.log(p_truth)
    parts = {"softmax": sum(weights[y] for y in TARGETS.tolist()), "focal": 3, "sigmoid": 9, "softmax_bce": 9}
    found = ClassBalancedLoss(COUNTS, beta, kind, gamma)(LOGITS, TARGETS)
    assert found.item() == pytest.approx(total / parts[kind], rel=1e-10)


def test_beta_0_or_equal_counts_give_the_unweighted_loss() -> None:
    expected = F.cross_entropy(LOGITS, TARGETS)
    torch.testing.assert_close(ClassBalancedLoss(COUNTS, beta=0.0)(LOGITS, TARGETS), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(ClassBalancedLoss([7, 7, 7])(LOGITS, TARGETS), expected, rtol=1e-12, atol=0)


def test_gamma_0_makes_focal_k_times_sigmoid() -> None:
    focal = ClassBalancedLoss(COUNTS, kind="focal", gamma=0.0)(LOGITS, TARGETS)
    torch.testing.assert_close(focal, 3 * ClassBalancedLoss(COUNTS, kind="sigmoid")(LOGITS, TARGETS))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta": 1.0}, r"`beta` must lie in \[0, 1\), but got 1\.0"),
        ({"beta": -0.1}, r"`beta` must lie in \[0, 1\), but got -0\.1"),
        ({"kind": "hinge"}, "`kind` must be one of softmax, sigmoid, focal, softmax_bce, but got 'hinge'"),
        ({"gamma": -1.0}, r"`gamma` must be at least 0, but got -1\.0"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ClassBalancedLoss(COUNTS, **arguments)  # type: ignore[arg-type]


def test_one_class_is_refused() -> None:
    with pytest.raises(UsageError, match=r"`class_counts` must have at least 2 classes, but got \[9\]"):
        ClassBalancedLoss([9])


@pytest.mark.parametrize("kind", ["softmax", "sigmoid", "focal", "softmax_bce"])
def test_reductions(kind: Kind) -> None:
    each = ClassBalancedLoss(COUNTS, kind=kind, reduction="none")(LOGITS, TARGETS)
    assert each.shape == (3,)
    torch.testing.assert_close(ClassBalancedLoss(COUNTS, kind=kind, reduction="sum")(LOGITS, TARGETS), each.sum())
    loss = ClassBalancedLoss(COUNTS, kind=kind)
    assert loss.weight is not None
    divisor = loss.weight[TARGETS].sum().item() if kind == "softmax" else 3
    torch.testing.assert_close(loss(LOGITS, TARGETS), each.sum() / divisor)


@pytest.mark.parametrize("kind", ["softmax", "softmax_bce"])
def test_a_common_bias_is_refused_where_it_does_nothing(kind: Kind) -> None:
    with pytest.raises(UsageError, match=f"`init_bias` belongs to the kinds sigmoid and focal, but got kind '{kind}'"):
        ClassBalancedLoss(COUNTS, kind=kind, init_bias=True)

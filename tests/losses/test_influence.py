from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from lt_lightning.errors import UsageError
from lt_lightning.losses import InfluenceBalancedLoss

COUNTS = [500, 30, 5]
LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0], [2.0, 2.0, -2.0]], dtype=torch.float64)
FEATURES = torch.tensor([[1.0, 0.0, 2.0, 0.3], [0.5, -0.5, 0.1, 0.0], [3.0, 1.0, 0.2, 0.7]], dtype=torch.float64)
TARGETS = torch.tensor([0, 2, 1])
WEIGHTS = [0.2, 0.5, 2.3]


def written_out(logits: torch.Tensor, features: torch.Tensor, gamma: float) -> torch.Tensor:
    p = logits.softmax(1)
    influence = (p - F.one_hot(TARGETS, 3)).abs().sum(1) * features.abs().sum(1)
    losses = F.cross_entropy(logits, TARGETS, reduction="none")
    focal = (1 - p.gather(1, TARGETS.unsqueeze(1)).squeeze(1)) ** gamma
    return (torch.tensor(WEIGHTS, dtype=torch.float64)[TARGETS] * focal * losses * 20.0 / (influence + 0.01)).mean()


def test_reference_numbers(assert_golden: Callable[[str], None]) -> None:
    assert_golden("InfluenceBalancedLoss")


@pytest.mark.parametrize("gamma", [0.0, 1.5])
def test_value_and_both_gradients_equal_the_formula(gamma: float) -> None:
    logits, features = LOGITS.clone().requires_grad_(), FEATURES.clone().requires_grad_()
    found = InfluenceBalancedLoss(COUNTS, 20.0, 0.01, gamma, WEIGHTS)(logits, TARGETS, features)
    expected = written_out(logits, features, gamma)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    of_found = torch.autograd.grad(found, (logits, features), retain_graph=True)
    of_expected = torch.autograd.grad(expected, (logits, features))
    for one, other in zip(of_found, of_expected, strict=True):
        assert one.abs().max() > 0
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5])
@pytest.mark.parametrize(
    ("dtype", "value"),
    # The sum of 512 times 6e4 overflows fp16. Features that are all 0 have a gradient of α/ε², which it cannot hold.
    [(torch.float16, 1.0), (torch.float16, 6e4), (torch.float32, 0.0), (torch.float32, 1.0), (torch.bfloat16, 0.0)],
)
def test_confident_samples_and_empty_features_are_finite(gamma: float, dtype: torch.dtype, value: float) -> None:
    logits = torch.tensor([[60.0, 0.0, 0.0], [12.0, 0.0, 0.0], [-60.0, 0.0, 0.0]], dtype=dtype).requires_grad_()
    features = torch.full((3, 512), value, dtype=dtype).requires_grad_()
    loss = InfluenceBalancedLoss(COUNTS, gamma=gamma)(logits, torch.tensor([0, 0, 0]), features)
    gradients = torch.autograd.grad(loss, (logits, features))
    assert bool(loss.isfinite())
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


@pytest.mark.parametrize("size", [1, 64])
def test_gradients_in_fp16_are_infinite_only_where_no_fp16_number_is_as_large(size: int) -> None:
    logits = torch.tensor([[1e4, -1e4, -1e4]]).repeat(size, 1)
    features, targets = torch.rand(size, 16, generator=torch.Generator().manual_seed(0)), torch.ones(size).long()
    found, expected = (features.half().to(dtype).requires_grad_() for dtype in (torch.float16, torch.float64))
    for leaf in (found, expected):
        InfluenceBalancedLoss(COUNTS)(logits.to(leaf.dtype), targets, leaf).backward()
    assert found.grad is not None
    assert expected.grad is not None
    torch.testing.assert_close(found.grad, expected.grad.half())
    assert bool(found.grad.isfinite().all()) == (size > 1)


def test_alpha_only_rescales() -> None:
    one = InfluenceBalancedLoss(COUNTS, alpha=1.0)(LOGITS, TARGETS, FEATURES)
    torch.testing.assert_close(InfluenceBalancedLoss(COUNTS)(LOGITS, TARGETS, FEATURES), 1000 * one)


def test_missing_features_are_named() -> None:
    with pytest.raises(UsageError, match=r"`InfluenceBalancedLoss` needs `features`, .* but got None"):
        InfluenceBalancedLoss(COUNTS)(LOGITS, TARGETS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0.0}, r"`alpha` must be above 0, but got 0\.0"),
        ({"epsilon": -1.0}, r"`epsilon` must be above 0, but got -1\.0"),
        ({"gamma": -0.5}, r"`gamma` must be at least 0, but got -0\.5"),
    ],
)
def test_out_of_range_is_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        InfluenceBalancedLoss(COUNTS, **arguments)

import pytest
import torch
from torch.nn import functional as F

from lt_lightning.losses.reduction import cross_entropy, weighted_mean


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

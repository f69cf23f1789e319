from collections.abc import Callable

import pytest
import torch

from lt_lightning.errors import UsageError
from lt_lightning.heads import LogitAdjustmentHead


def test_reference_numbers(assert_golden: Callable[..., None]) -> None:
    assert_golden("LogitAdjustmentHead")


def test_prediction_is_adjusted_and_forward_is_not() -> None:
    head = LogitAdjustmentHead(2, [90, 9, 1], tau=2.0)
    head.init_from(torch.zeros(3, 2), torch.tensor([1.0, 2.0, 3.0]))
    features = torch.ones(1, 2)
    assert head(features).tolist() == [[1.0, 2.0, 3.0]]
    expected = torch.tensor([[1.0, 2.0, 3.0]]) - 2 * torch.tensor([0.9, 0.09, 0.01]).log()
    torch.testing.assert_close(head.predict(features), expected)


def test_tau_0_or_equal_counts_change_no_decision() -> None:
    features = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    plain = LogitAdjustmentHead(2, [90, 9, 1], tau=0.0)
    assert torch.equal(plain.predict(features), plain(features))
    assert not plain.rebalances
    equal = LogitAdjustmentHead(2, [7, 7, 7])
    assert torch.equal(equal.predict(features).argmax(1), equal(features).argmax(1))


def test_half_precision_leaves_the_prior_exact() -> None:
    head = LogitAdjustmentHead(2, [4999, 3]).to(torch.bfloat16)
    assert head.counts.tolist() == [4999, 3]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_has_a_linear_form_of_many_images_too(dtype: torch.dtype) -> None:
    head = LogitAdjustmentHead(2, [100_000, 3]).to(dtype)
    head.init_from(torch.zeros(2, 2), None)
    layer = head.to_linear()
    assert layer.bias.dtype == layer.weight.dtype == dtype
    expected = -torch.tensor([100_000 / 100_003, 3 / 100_003], dtype=torch.float64).log()
    torch.testing.assert_close(layer.bias.double(), expected, rtol=2**-8, atol=1e-4)


def test_counts_are_not_in_the_checkpoint() -> None:
    assert LogitAdjustmentHead(2, [5, 3]).state_dict().keys() == {"weight", "bias"}


def test_negative_tau_is_refused() -> None:
    with pytest.raises(UsageError, match=r"`tau` must be at least 0, but got -1\.0"):
        LogitAdjustmentHead(2, [5, 3], tau=-1.0)

from collections.abc import Callable

import pytest
import torch

from lt_lightning.errors import UsageError
from lt_lightning.functional.classifiers import row_norms
from lt_lightning.heads import TauNormHead


def test_reference_numbers(assert_golden: Callable[..., None]) -> None:
    assert_golden("TauNormHead")


def test_tau_0_leaves_the_weights_and_balances_nothing() -> None:
    head = TauNormHead(2, [5, 3], tau=0.0)
    weight = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    head.init_from(weight, torch.ones(2))
    assert not head.rebalances
    assert torch.equal(head(torch.eye(2)), weight.T)  # the bias is left out


def test_tau_1_makes_all_norms_equal() -> None:
    head = TauNormHead(2, [5, 3])
    head.init_from(torch.tensor([[3.0, 4.0], [0.0, 2.0]]), None)
    torch.testing.assert_close(row_norms(head.to_linear().weight), torch.ones(2))
    assert head.to_linear().bias is None


def test_negative_tau_is_refused() -> None:
    with pytest.raises(UsageError, match=r"`tau` must be at least 0, but got -0\.5"):
        TauNormHead(2, [5, 3], tau=-0.5)

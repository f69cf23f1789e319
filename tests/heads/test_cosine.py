from collections.abc import Callable

import pytest
import torch

from lt_lightning.errors import UsageError
from lt_lightning.heads import CosineHead


def test_reference_numbers(assert_golden: Callable[..., None]) -> None:
    assert_golden("CosineHead")


def test_logits_are_bounded_by_the_scale_and_blind_to_lengths() -> None:
    head = CosineHead(3, [5, 3])
    features = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    assert not head.normalized  # plain cosines alone are: a margin loss would scale these twice
    assert CosineHead(3, [5, 3], scale=1.0).normalized
    assert not CosineHead(3, [5, 3], scale=1.0, learnable_scale=True).normalized  # it does not stay 1
    largest = head(torch.cat((features, head.weight.detach()))).abs().max()
    torch.testing.assert_close(largest, torch.tensor(16.0))
    torch.testing.assert_close(head(100 * features), head(features))


def test_a_learnable_scale_starts_at_the_given_one() -> None:
    head = CosineHead(3, [5, 3], scale=8.0, learnable_scale=True)
    assert isinstance(head.scale, torch.nn.Parameter)
    assert head.scale.item() == 8.0
    assert CosineHead(3, [5, 3], scale=8).scale == 8.0


def test_it_says_why_it_equals_no_linear_layer() -> None:
    with pytest.raises(UsageError, match="`CosineHead` equals no plain linear layer: it divides each feature vector"):
        CosineHead(3, [5, 3]).to_linear()


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_scale_out_of_range_is_refused(scale: float) -> None:
    with pytest.raises(UsageError, match=f"`scale` must be above 0, but got {scale}"):
        CosineHead(3, [5, 3], scale=scale)

import pytest
import torch
from torch.nn import functional as F

from lt_lightning.functional import equalization_loss, equalization_weights


def batch(n: int = 7, k: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.randn(n, k, generator=generator, dtype=torch.float64), torch.randint(k, (n,), generator=generator)


def test_weights_at_known_ratios() -> None:
    positive = torch.tensor([0.0, 0.8, 0.0, 1e6, 5.0], dtype=torch.float64)
    negative = torch.tensor([0.0, 1.0, 3.0, 1.0, 0.0], dtype=torch.float64)
    as_positive, as_negative = equalization_weights(positive, negative, 12.0, 0.8, 4.0)
    of_none = 1 / (1 + 2.718281828459045**9.6)
    assert as_negative.tolist() == pytest.approx([1.0, 0.5, of_none, 1.0, 1.0], rel=1e-8)  # the first: unseen
    assert as_positive.tolist() == pytest.approx([1.0, 3.0, 5 - 4 * of_none, 1.0, 1.0], rel=1e-8)


def test_the_constant_below_the_ratio_is_the_published_codes() -> None:
    # 1e-10 joins the negative gradients, so that positive ones alone have a ratio: here 0.8, where a class weighs 1/2.
    positive, none = torch.tensor([0.8e-10], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    as_positive, as_negative = equalization_weights(positive, none, 12.0, 0.8, 4.0)
    assert (as_positive.item(), as_negative.item()) == pytest.approx((3.0, 0.5))


def test_equals_weighted_torch() -> None:
    logits, targets = batch()
    as_positive, as_negative = torch.rand(2, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 0.5
    one_hot = F.one_hot(targets, 5).double()
    weight = one_hot * as_positive + (1 - one_hot) * as_negative
    found = equalization_loss(logits, targets, as_positive, as_negative)
    expected = F.binary_cross_entropy_with_logits(logits, one_hot, weight, reduction="none").sum(1)
    torch.testing.assert_close(found.losses, expected, rtol=1e-12, atol=0)
    gradient = (logits.sigmoid() - one_hot) * weight
    torch.testing.assert_close(found.positive, -(gradient * one_hot).sum(0))
    torch.testing.assert_close(found.negative, (gradient * (1 - one_hot)).sum(0))
    assert torch.autograd.gradcheck(
        lambda z: equalization_loss(z, targets, as_positive, as_negative).losses, logits.requires_grad_()
    )

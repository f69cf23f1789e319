"""Every kind of slopes equals autograd, head by head; which losses share one."""

from functools import partial
from inspect import isabstract

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning import losses
from lt_lightning.losses import (
    ClassBalancedLoss,
    CrossEntropyLoss,
    ELMLoss,
    EqualizationLossV2,
    FocalLoss,
    HardSelectionLogisticLoss,
    InfluenceBalancedLoss,
    LGLINRLoss,
    LogisticLoss,
    LORTLoss,
    MaximumMarginLDAMLoss,
)
from lt_lightning.retraining.slopes import slopes_key, slopes_of
from lt_lightning.retraining.slopes.autograd import AutogradSlopes
from lt_lightning.retraining.slopes.equalization import EqualizationSlopes
from lt_lightning.retraining.slopes.in_negative import InNegativeSlopes
from lt_lightning.retraining.slopes.margin import MarginSlopes
from lt_lightning.retraining.slopes.one_vs_all import OneVsAllSlopes
from lt_lightning.retraining.slopes.softmax import SoftmaxSlopes

COUNTS = [9, 4, 2, 1]
WEIGHT = [0.1, 0.5, 1.0, 3.0]
KINDS = {
    "softmax": (SoftmaxSlopes, LORTLoss),
    "elm": (MarginSlopes, partial(ELMLoss, scale=3.0)),
    "elm_weighted": (AutogradSlopes, partial(ELMLoss, scale=3.0, weight=WEIGHT)),
    "mm_ldam": (MarginSlopes, MaximumMarginLDAMLoss),
    "focal": (AutogradSlopes, FocalLoss),
    "focal_weighted": (AutogradSlopes, partial(FocalLoss, weight=WEIGHT)),
    "lr": (OneVsAllSlopes, LogisticLoss),
    "lr_weighted": (AutogradSlopes, partial(LogisticLoss, weight=WEIGHT)),
    "class_balanced_sigmoid": (OneVsAllSlopes, partial(ClassBalancedLoss, kind="sigmoid")),
    "class_balanced_bce": (AutogradSlopes, partial(ClassBalancedLoss, kind="softmax_bce")),
    "hs_lr": (AutogradSlopes, HardSelectionLogisticLoss),
    "ib": (AutogradSlopes, InfluenceBalancedLoss),
    "eqlv2": (EqualizationSlopes, EqualizationLossV2),
    "lgl_inr": (InNegativeSlopes, partial(LGLINRLoss, beta=2.0)),
}


def by_autograd(loss, logits, targets, features):
    logits = logits.clone().requires_grad_()
    loss.train()(logits, targets, features).backward()
    return logits.grad


@pytest.mark.parametrize(("kind", "make"), KINDS.values(), ids=KINDS)
@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), number=st.integers(1, 9), heads=st.integers(1, 3), size=st.floats(0.1, 20))
def test_equal_autograd_of_each_head(kind, make, seed, number, heads, size):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, number, heads, 4, generator=generator, dtype=torch.float64) * size
    targets = torch.randint(4, (2, number), generator=generator)
    features = torch.randn(2, number, 5, generator=generator, dtype=torch.float64)
    together, alone = ([make(COUNTS) for _ in range(heads)] for _ in range(2))
    slopes = slopes_of(together, logits)
    assert type(slopes) is kind
    for batch in zip(logits, targets, features, strict=True):  # two, as some losses have state
        found, share = slopes(batch[0].clone(), *batch[1:])
        for head, loss in enumerate(alone):
            expected = by_autograd(loss, batch[0][:, head], *batch[1:])
            torch.testing.assert_close(found[:, head] * share, expected, rtol=1e-9, atol=1e-12)
    slopes.write_back()
    for found, expected in zip(together, alone, strict=True):
        for name, value in expected.state_dict().items():
            torch.testing.assert_close(found.state_dict()[name], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("kind", "make"), KINDS.values(), ids=KINDS)
def test_finite_in_fp32_at_extreme_logits(kind, make):
    logits = torch.tensor([[1e4, -1e4, 0.0, 0.0], [-1e4, 1e4, 0.0, 0.0], [0.0] * 4]).unsqueeze(1)
    found, _ = slopes_of([make(COUNTS)], logits)(logits, torch.tensor([0, 0, 3]), torch.ones(3, 5))
    assert type(slopes_of([make(COUNTS)], logits)) is kind
    assert found.isfinite().all()


@pytest.mark.parametrize("name", ["lr", "class_balanced_sigmoid", "eqlv2", "lgl_inr"])
def test_targets_that_are_almost_sure_keep_their_slope_in_fp32(name):
    logits, targets = torch.tensor([[[20.0, 0.0, 0.0, 0.0]]]), torch.tensor([0])
    narrow, wide = (
        slopes_of([KINDS[name][1](COUNTS)], each)(each.clone(), targets, torch.ones(1, 5))[0][0, 0, 0].item()
        for each in (logits, logits.double())
    )
    assert narrow == pytest.approx(wide, rel=1e-5, abs=0)
    assert narrow < 0


@pytest.mark.parametrize("name", sorted(KINDS.keys() - {"lgl_inr"}))
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_losses_that_are_no_means_train_alone(name, reduction):
    assert slopes_key(KINDS[name][1](COUNTS, reduction=reduction)) is None


class Derived(LogisticLoss):
    """A user's own."""


@pytest.mark.parametrize(
    "loss", [Derived(COUNTS), LGLINRLoss(COUNTS, gather=True), EqualizationLossV2(COUNTS, weight=WEIGHT)]
)
def test_others_train_alone(loss):
    assert slopes_key(loss) is None


def test_softmax_losses_share_whatever_their_constants_and_others_only_with_equal_ones():
    assert slopes_key(LORTLoss(COUNTS, delta=0.5)) == slopes_key(CrossEntropyLoss(COUNTS))
    assert slopes_key(FocalLoss(COUNTS, gamma=1.0)) == slopes_key(FocalLoss(COUNTS, gamma=1.0))
    assert slopes_key(FocalLoss(COUNTS, gamma=1.0)) != slopes_key(FocalLoss(COUNTS, gamma=2.0))


@pytest.mark.parametrize("name", sorted(name for name in losses.__all__ if not isabstract(getattr(losses, name))))
def test_no_loss_of_this_package_trains_heads_one_by_one(name):
    assert slopes_key(getattr(losses, name)(COUNTS)) is not None

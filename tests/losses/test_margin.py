import math
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from lt_lightning.errors import UsageError
from lt_lightning.losses import ELMLoss, LDAMLoss, MaximumMarginLDAMLoss

COUNTS = [500, 30, 5]
COSINES = torch.tensor([[0.9, -0.2, 0.5], [0.0, 0.3, -0.1], [0.4, 0.4, 0.8]], dtype=torch.float64)
TARGETS = torch.tensor([0, 2, 1])


@pytest.mark.parametrize("name", ["LDAMLoss", "ELMLoss", "MaximumMarginLDAMLoss"])
def test_reference_numbers(name: str, assert_golden: Callable[[str], None]) -> None:
    assert_golden(name)


def test_sums_written_out() -> None:
    weights, scale, largest = [0.2, 0.5, 2.3], 10.0, 0.4
    total = 0.0
    for row, y in zip(COSINES.tolist(), TARGETS.tolist(), strict=True):
        margin = largest * COUNTS[y] ** -0.25 / min(COUNTS) ** -0.25
        scaled = [scale * (z - margin * (k == y)) for k, z in enumerate(row)]
        total += weights[y] * (math.log(sum(map(math.exp, scaled))) - scaled[y])
    found = LDAMLoss(COUNTS, largest, scale, weights)(COSINES, TARGETS)
    assert found.item() == pytest.approx(total / sum(weights[y] for y in TARGETS.tolist()), rel=1e-10)


def test_without_margin_it_is_scaled_cross_entropy() -> None:
    found = LDAMLoss(COUNTS, max_margin=0.0, scale=7.0)(COSINES, TARGETS)
    torch.testing.assert_close(found, F.cross_entropy(7 * COSINES, TARGETS), rtol=1e-12, atol=0)


def test_a_margin_costs() -> None:
    assert LDAMLoss(COUNTS)(COSINES, TARGETS) > LDAMLoss(COUNTS, max_margin=0.0)(COSINES, TARGETS)


def test_rarest_class_has_the_largest_margin() -> None:
    margins = LDAMLoss(COUNTS).margins
    assert margins[-1].item() == pytest.approx(0.5)
    assert bool((margins.diff() > 0).all())


@pytest.mark.parametrize("make", [LDAMLoss, ELMLoss, MaximumMarginLDAMLoss])
def test_the_scale_is_the_logit_scale(make: type[LDAMLoss]) -> None:
    assert make(COUNTS).logit_scale == 30.0
    assert make(COUNTS, scale=1).logit_scale == 1.0


def test_elm_written_out() -> None:
    largest, scale, lam = 0.4, 10.0, 0.6
    margins = [largest * count**-0.25 / min(COUNTS) ** -0.25 for count in COUNTS]
    for target_margin in (True, False):
        total = 0.0
        for row, y in zip(COSINES.tolist(), TARGETS.tolist(), strict=True):
            rival = max((z, k) for k, z in enumerate(row) if k != y)[1]
            shifted = list(row)
            shifted[y] += lam * margins[rival] - target_margin * margins[y]
            total += math.log(sum(math.exp(scale * z) for z in shifted)) - scale * shifted[y]
        found = ELMLoss(COUNTS, largest, scale, lam, target_margin)(COSINES, TARGETS)
        assert found.item() == pytest.approx(total / 3, rel=1e-10)


def test_elm_with_lambda_0_is_ldam() -> None:
    torch.testing.assert_close(
        ELMLoss(COUNTS, lam=0.0)(COSINES, TARGETS), LDAMLoss(COUNTS)(COSINES, TARGETS), rtol=1e-12, atol=0
    )
    found = ELMLoss(COUNTS, lam=0.0, target_margin=False)(COSINES, TARGETS)
    torch.testing.assert_close(found, F.cross_entropy(30 * COSINES, TARGETS), rtol=1e-12, atol=0)


def test_elm_without_margin_is_scaled_cross_entropy() -> None:
    found = ELMLoss(COUNTS, max_margin=0.0, scale=7.0)(COSINES, TARGETS)
    torch.testing.assert_close(found, F.cross_entropy(7 * COSINES, TARGETS), rtol=1e-12, atol=0)


def test_elm_asks_less_than_ldam() -> None:
    assert ELMLoss(COUNTS, lam=0.1)(COSINES, TARGETS) < LDAMLoss(COUNTS)(COSINES, TARGETS)


@pytest.mark.parametrize("largest", [0.5, 1.29])
def test_maximum_margin_written_out(largest: float) -> None:
    scale, gamma, weights = 10.0, 1.5, [0.2, 0.5, 2.3]
    total = 0.0
    for row, y in zip(COSINES.tolist(), TARGETS.tolist(), strict=True):
        bound = largest - 0.5 * COUNTS[y] ** -0.25 / min(COUNTS) ** -0.25
        distance = row[y] - max(z for k, z in enumerate(row) if k != y)
        row[y] -= math.exp(-abs(distance) - (gamma if distance > 0 else 1.0) * bound)
        total += weights[y] * (math.log(sum(math.exp(scale * z) for z in row)) - scale * row[y])
    found = MaximumMarginLDAMLoss(COUNTS, largest, scale, gamma, weights)(COSINES, TARGETS)
    assert found.item() == pytest.approx(total / sum(weights), rel=1e-10)


def test_the_maximum_margin_is_not_differentiated() -> None:
    loss = MaximumMarginLDAMLoss(COUNTS)
    logits = COSINES.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(logits, TARGETS), logits)
    constant = loss.sample_margins(COSINES, TARGETS).unsqueeze(1) * F.one_hot(TARGETS, 3)
    (expected,) = torch.autograd.grad(F.cross_entropy(30 * (logits - constant), TARGETS), logits)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)


def test_what_bounds_the_maximum_margin_is_called_no_margin() -> None:
    loss = MaximumMarginLDAMLoss(COUNTS, max_margin=1.2)
    torch.testing.assert_close(loss.bounds, 1.2 - LDAMLoss(COUNTS).margins)
    assert not hasattr(loss, "margins")


@pytest.mark.parametrize("make", [LDAMLoss, ELMLoss, MaximumMarginLDAMLoss])
def test_logits_are_left_alone(make: type[LDAMLoss]) -> None:
    logits = COSINES.clone()
    make(COUNTS, scale=1.0)(logits, TARGETS)
    assert torch.equal(logits, COSINES)


@pytest.mark.parametrize("make", [ELMLoss, MaximumMarginLDAMLoss])
def test_one_class_has_no_rival(make: type[ELMLoss]) -> None:
    with pytest.raises(UsageError, match=r"`class_counts` must have at least 2 classes, but got \[9\]"):
        make([9])


def test_negative_strengths_are_refused() -> None:
    with pytest.raises(UsageError, match=r"`lam` must be at least 0, but got -0\.1"):
        ELMLoss(COUNTS, lam=-0.1)
    with pytest.raises(UsageError, match=r"`gamma` must be at least 0, but got -1\.0"):
        MaximumMarginLDAMLoss(COUNTS, gamma=-1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_margin": -0.5}, r"`max_margin` must be at least 0, but got -0\.5"),
        ({"scale": 0.0}, r"`scale` must be above 0, but got 0\.0"),
    ],
)
def test_out_of_range_is_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LDAMLoss(COUNTS, **arguments)

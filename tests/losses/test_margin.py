import math
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from lt_lightning.errors import UsageError
from lt_lightning.losses import LDAMLoss

COUNTS = [500, 30, 5]
COSINES = torch.tensor([[0.9, -0.2, 0.5], [0.0, 0.3, -0.1], [0.4, 0.4, 0.8]], dtype=torch.float64)
TARGETS = torch.tensor([0, 2, 1])


def test_reference_numbers(assert_golden: Callable[[str], None]) -> None:
    assert_golden("LDAMLoss")


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


def test_the_scale_is_the_logit_scale() -> None:
    assert LDAMLoss(COUNTS).logit_scale == 30.0
    assert LDAMLoss(COUNTS, scale=1).logit_scale == 1.0


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

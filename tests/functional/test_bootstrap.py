"""The paired bootstrap against its plain form, and where it must be exact."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.errors import UsageError
from lt_lightning.functional import paired_bootstrap
from lt_lightning.functional.bootstrap import _percentile

TARGETS = torch.tensor([0] * 40 + [1] * 10 + [2] * 20)


def scores(seed, share=0.5):
    return (torch.rand(len(TARGETS), generator=torch.Generator().manual_seed(seed)) < share).double()


def macro(values):
    return torch.stack([values[label == TARGETS].mean() for label in range(3)]).mean()


def test_difference_is_of_class_means():
    one, other = scores(0), scores(1)
    found = paired_bootstrap(one[None], other, TARGETS)
    torch.testing.assert_close(found.mean[0], macro(one) - macro(other))
    assert found.low[0] < found.mean[0] < found.high[0]


def test_classes_without_test_images_are_no_part_of_the_mean():
    one, other = scores(0), scores(1)
    gaps = torch.tensor([1, 2, 5])[TARGETS]
    with_gaps, without = (paired_bootstrap(one[None], other, targets, draws=50) for targets in (gaps, TARGETS))
    for name in ("mean", "low", "high", "p_value"):
        assert torch.equal(getattr(with_gaps, name), getattr(without, name)), name


def test_equals_a_plain_loop_in_law():
    one, other = scores(0), scores(1)
    generator = torch.Generator().manual_seed(5)
    drawn = []
    for _ in range(4000):
        rows = torch.cat(
            [
                rows[torch.randint(len(rows), (len(rows),), generator=generator)]
                for rows in (torch.nonzero(label == TARGETS).flatten() for label in range(3))
            ]
        )
        gains = (one - other)[rows]
        drawn.append(torch.stack([gains[TARGETS[rows] == label].mean() for label in range(3)]).mean())
    low, high = torch.quantile(torch.stack(drawn), torch.tensor([0.025, 0.975], dtype=torch.float64))
    found = paired_bootstrap(one[None], other, TARGETS, draws=4000)
    torch.testing.assert_close(torch.stack([found.low[0], found.high[0]]), torch.stack([low, high]), atol=0.02, rtol=0)


def test_percentiles_are_torchs_and_of_any_number_of_draws():
    drawn = torch.randn(101, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).sort(dim=0).values
    for share in (0.0, 0.025, 0.5, 0.977, 1.0):
        torch.testing.assert_close(_percentile(drawn, share), torch.quantile(drawn, share, dim=0), rtol=1e-14, atol=0)
    number = 200
    many = paired_bootstrap(torch.eye(2).repeat(number, 1), torch.zeros(2), torch.tensor([0, 1]), draws=42_000)
    assert many.low.shape == (2 * number,)  # of 16.8 million numbers, more than `torch.quantile` takes


def test_no_difference_and_every_difference():
    one = scores(0)
    same = paired_bootstrap(one[None], one, TARGETS, draws=99)
    assert same.mean.item() == same.low.item() == same.high.item() == 0
    assert same.p_value.item() == 1
    better = paired_bootstrap(torch.ones(1, len(TARGETS)), torch.zeros(len(TARGETS)), TARGETS, draws=99)
    torch.testing.assert_close(better.low, torch.ones(1, dtype=torch.float64))
    assert better.p_value.item() == pytest.approx(2 / 100)


@given(st.integers(0, 1000), st.permutations(range(len(TARGETS))))
@settings(deadline=None, max_examples=20)
def test_order_of_images_plays_no_part_in_the_mean(seed, order):
    one, other, rows = scores(seed), scores(seed + 1), torch.tensor(order)
    found = paired_bootstrap(one[None], other, TARGETS, draws=20)
    moved = paired_bootstrap(one[None, rows], other[rows], TARGETS[rows], draws=20)
    torch.testing.assert_close(found.mean, moved.mean)
    swapped = paired_bootstrap(other[None], one, TARGETS, draws=20)
    torch.testing.assert_close(swapped.low, -found.high)


def test_all_classifiers_are_judged_on_the_same_draws():
    both = torch.stack([scores(0), scores(1)])
    found = paired_bootstrap(both, scores(2), TARGETS, draws=50)
    alone = paired_bootstrap(both[1:], scores(2), TARGETS, draws=50)
    torch.testing.assert_close(found.low[1], alone.low[0])
    chunked = torch.cat([TARGETS] * 40000)
    assert len(paired_bootstrap(torch.rand(1, len(chunked)), torch.rand(len(chunked)), chunked, draws=2).low) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": TARGETS[:3]}, r"`scores` must have shape \(M, N\)"),
        ({"draws": 0}, "`draws` must be at least 1"),
        ({"confidence": 1.0}, "`confidence` in \\(0, 1\\)"),
    ],
)
def test_mistakes(arguments, message):
    settings = {"scores": scores(0)[None], "reference": scores(1), "targets": TARGETS} | arguments
    with pytest.raises(UsageError, match=message):
        paired_bootstrap(**settings)

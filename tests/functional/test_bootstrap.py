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


def test_draws_have_the_variance_of_a_stratified_mean():
    """Of few images a class too: s² / n of each, where drawing images as they are gives (n - 1) / n of that."""
    few = torch.tensor([0] * 2 + [1] * 3 + [2] * 30)
    gains = torch.rand(len(few), dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.5
    parts = [gains[few == label] for label in range(3)]
    more = (1 / 6**2 + 1 / 9**2 + 1 / 90**2) / 3
    expected = (sum(float(part.var()) / len(part) for part in parts) / 3**2 + more) ** 0.5
    mean = sum(float(part.mean()) for part in parts) / 3
    assert deviation(gains, few) == pytest.approx((mean, expected), rel=0.05)


def test_classes_of_one_image_are_drawn_from_each_other():
    gains = torch.rand(32, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.5
    gains[30:] = 0.25
    classes = torch.cat([torch.arange(30).flip(0) + 3, torch.tensor([1, 1])])  # the two of class 1 are alike
    more = (30 + 1 / 2**2) / 31
    expected = (float(gains[:30].sum() + 0.25) / 31, (30 * float(gains[:30].var()) + more) ** 0.5 / 31)
    assert deviation(gains, classes) == pytest.approx(expected, rel=0.05)


def test_a_single_class_of_one_image_is_set_beside_the_smallest_other():
    gains = torch.tensor([1.0, 0.0, 0.5, 0.0, 0.0, 0.0], dtype=torch.float64)
    found = paired_bootstrap(gains[None], torch.zeros(6), torch.tensor([2, 0, 0, 1, 1, 1]), confidence=0.9)
    # Two of 1 and 0.25 are drawn: a quarter of the draws each takes one of them twice, and 5 in 16 of these, with one
    # image more, go further by its part or twice that.
    more = ((1 + 1 / 2**2 + 1 / 3**2) / 3) ** 0.5
    for end, sign in ((found.low, -1), (found.high, 1)):
        assert end.item() == pytest.approx((1.25 + sign * (2**0.5 * 0.75 + more)) / 3)
    alone = paired_bootstrap(torch.ones(1, 1), torch.zeros(1), torch.tensor([4]), draws=999)
    assert alone.mean == 1
    assert alone.low < 0
    assert alone.p_value > 0.4
    equal = paired_bootstrap(torch.ones(1, 1), torch.ones(1), torch.tensor([4]), draws=99)
    assert (equal.low, equal.high, equal.p_value) == (-1, 1, 1)


def deviation(gains, targets):
    """Of the draws for one classifier: half the width of an interval that holds 68.27 % of a normal's."""
    found = paired_bootstrap(gains[None], torch.zeros_like(gains), targets, draws=20_000, confidence=0.6827)
    return found.mean.item(), (found.high - found.low).item() / 2


@pytest.mark.parametrize(
    ("sizes", "least"),
    [([1] * 60, 0.92), ([2] * 60, 0.90), ([3] * 60, 0.92), ([round(60 ** (i / 59)) for i in range(60)], 0.89)],
)
def test_intervals_hold_the_truth_as_often_as_they_say(sizes, least):
    """800 test sets of two classifiers that are equally good; images drawn as they are give 0.00, 0.83, 0.88, 0.75."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.repeat_interleave(torch.arange(60), torch.tensor(sizes))
    right = 0.2 + 0.6 * torch.rand(800, 60, generator=generator)
    one, other = ((torch.rand(800, len(targets), generator=generator) < right[:, targets]).double() for _ in range(2))
    found = paired_bootstrap(one, other, targets, draws=500)
    held = (found.low <= 0) & (found.high >= 0)
    assert least < held.double().mean() < 0.98
    assert (found.p_value < 0.05).double().mean() < 1 - least


@pytest.mark.parametrize(
    ("images", "right", "gain", "alike", "least"),
    [(5, 0.96, 0.02, 0.9, 0.97), (20, 0.97, 0.01, 0.9, 0.94), (1, 0.5, 0.05, 0.5, 0.93), (2, 0.5, 0.05, 0.5, 0.92)],
)
def test_intervals_hold_the_truth_where_few_images_differ(images, right, gain, alike, least):
    """800 test sets of 10 classes; without one image more it is 0.69, 0.90, 0.76 and 0.90 of them."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(10).repeat(images)
    first, second, shared = (torch.rand(800, len(targets), generator=generator) for _ in range(3))
    one, other = (first < right + gain).double(), (torch.where(shared < alike, first, second) < right).double()
    found = paired_bootstrap(one, other, targets, draws=500)
    assert ((found.low <= gain) & (found.high >= gain)).double().mean() > least


def test_percentiles_are_torchs_and_of_any_number_of_draws():
    drawn = torch.randn(101, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).sort(dim=0).values
    for share in (0.0, 0.025, 0.5, 0.977, 1.0):
        torch.testing.assert_close(_percentile(drawn, share), torch.quantile(drawn, share, dim=0), rtol=1e-14, atol=0)
    number = 200
    many = paired_bootstrap(torch.eye(2).repeat(number, 1), torch.zeros(2), torch.tensor([0, 1]), draws=42_000)
    assert many.low.shape == (2 * number,)  # of 16.8 million numbers, more than `torch.quantile` takes


def test_no_difference_and_every_difference():
    one = scores(0)
    part = ((1 / 40**2 + 1 / 10**2 + 1 / 20**2) / 3) ** 0.5 / 3
    same = paired_bootstrap(one[None], one, TARGETS, draws=999)
    assert (same.mean, same.p_value) == (0, 1)
    assert (same.low.item(), same.high.item()) == pytest.approx((-2 * part, 2 * part))
    better = paired_bootstrap(torch.ones(1, len(TARGETS)), torch.zeros(len(TARGETS)), TARGETS, draws=999)
    assert (better.low.item(), better.high.item()) == pytest.approx((1 - 2 * part, 1))
    assert better.p_value.item() == pytest.approx(2 / 1000)


@given(st.integers(0, 1000), st.permutations(range(len(TARGETS))))
@settings(max_examples=20)
def test_order_of_images_plays_no_part_in_the_mean(seed, order):
    one, other, rows = scores(seed), scores(seed + 1), torch.tensor(order)
    found = paired_bootstrap(one[None], other, TARGETS, draws=20)
    moved = paired_bootstrap(one[None, rows], other[rows], TARGETS[rows], draws=20)
    torch.testing.assert_close(found.mean, moved.mean)


def test_swapped_classifiers_have_the_same_interval_but_for_its_sign():
    one, other = scores(0), scores(1)
    found, swapped = (paired_bootstrap(a[None], b, TARGETS, draws=20_000) for a, b in ((one, other), (other, one)))
    torch.testing.assert_close(swapped.mean, -found.mean)
    torch.testing.assert_close(swapped.low, -found.high, atol=0.01, rtol=0)


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

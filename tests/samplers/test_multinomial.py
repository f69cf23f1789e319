"""Samplers with replacement."""

from functools import partial
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.errors import UsageError
from lt_lightning.samplers import (
    EffectiveNumberSampler,
    InverseFrequencySampler,
    MultinomialSampler,
    ProgressiveSampler,
    ReversedSampler,
    SquareRootSampler,
)

COUNTS = [900, 90, 9, 1]
BETA = 0.99

# Class probabilities up to a factor, from each paper's formula, in plain Python.
FORMULAS = {
    "inverse_frequency": (InverseFrequencySampler, [1.0 for _ in COUNTS]),
    "square_root": (SquareRootSampler, [n**0.5 for n in COUNTS]),
    "reversed": (ReversedSampler, [max(COUNTS) / n for n in COUNTS]),
    "effective_number": (
        partial(EffectiveNumberSampler, beta=BETA),
        [n * (1 - BETA) / (1 - BETA**n) for n in COUNTS],
    ),
    "progressive_at_first": (partial(ProgressiveSampler, epochs=10**9), [n / sum(COUNTS) for n in COUNTS]),
}
formulas = pytest.mark.parametrize(("make", "wanted"), FORMULAS.values(), ids=FORMULAS)


def frequencies(sampler: MultinomialSampler, epochs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """How often each image is drawn, and each class's share of the draws."""
    drawn = torch.cat([sampler.indices(epoch) for epoch in range(epochs)])
    images = torch.bincount(drawn, minlength=len(sampler))
    return images, torch.bincount(sampler.targets[drawn], minlength=len(sampler.class_counts)) / len(drawn)


@formulas
def test_probabilities_are_those_of_the_formula(targets_of, make, wanted):
    found = make(targets_of(COUNTS)).class_probabilities()
    expected = torch.tensor(wanted, dtype=torch.float64)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found / found.sum(), expected / expected.sum(), rtol=1e-12, atol=0)


@formulas
def test_classes_are_drawn_as_often_as_the_formula_says(targets_of, make, wanted):
    _, shares = frequencies(make(targets_of(COUNTS)), 40)
    expected = torch.tensor(wanted) / sum(wanted)
    # 40,000 independent draws: 5 standard deviations of a share.
    assert bool(((shares - expected).abs() <= 5 * (expected * (1 - expected) / 40_000).sqrt() + 1e-9).all())


@formulas
def test_images_of_a_class_are_drawn_alike(targets_of, make, wanted):
    sampler = make(targets_of([30, 5, 5]))
    uses, _ = frequencies(sampler, 1000)
    for label in range(3):
        mine = uses[sampler.targets == label].double()
        # Chi-square over its degrees of freedom, 29 or 4: below 4 or so in all but one case of a thousand.
        assert float(((mine - mine.mean()) ** 2 / mine.mean()).sum() / (len(mine) - 1)) < 4.6


@settings(max_examples=20)
@given(counts=st.lists(st.integers(1, 2000), min_size=2, max_size=8))
def test_effective_numbers_lie_between_instances_and_classes(targets_of, counts):
    targets = targets_of(counts)

    def probabilities(sampler):
        values = sampler.class_probabilities()
        return values / values.sum()

    shares, equal = torch.tensor(counts).double() / sum(counts), torch.full((len(counts),), 1 / len(counts)).double()
    flat = probabilities(EffectiveNumberSampler(targets, beta=0.0))
    torch.testing.assert_close(flat, shares, rtol=1e-12, atol=0)
    torch.testing.assert_close(probabilities(EffectiveNumberSampler(targets, beta=1 - 1e-9)), equal, rtol=1e-5, atol=0)
    spreads = [
        float(found.max() / found.min())
        for found in (probabilities(EffectiveNumberSampler(targets, beta=beta)) for beta in (0.0, 0.9, 0.999, 0.9999))
    ]
    assert all(a >= b - 1e-9 for a, b in pairwise(spreads))
    likely = probabilities(EffectiveNumberSampler(targets_of([500, 50, 5])))
    assert float(likely[0] / likely[2]) == pytest.approx(1.025, abs=5e-4)  # as the docstring says of the default


def test_draws_are_with_replacement(targets_of):
    uses = torch.bincount(EffectiveNumberSampler(targets_of([2000]), beta=0.0).indices(0), minlength=2000)
    assert 0.60 < float((uses > 0).double().mean()) < 0.66  # 1 - 1/e


def test_thousands_of_classes_can_be_drawn():
    targets = torch.arange(8142).repeat_interleave(2)
    drawn = targets[InverseFrequencySampler(targets).indices(0)]
    assert len(drawn) == 16284
    assert 0.83 < len(drawn.unique()) / 8142 < 0.90  # 1 - 1/e²


def test_a_sampler_of_ones_own_says_how_likely_classes_are(targets_of):
    class Rarest(MultinomialSampler):
        def class_probabilities(self):
            return (self.class_counts == self.class_counts.min()).double()

    targets = targets_of([5, 3, 2])
    assert set(targets[Rarest(targets).indices(0)].tolist()) == {2}


@pytest.mark.parametrize("beta", [-0.1, 1.0, float("nan")])
def test_betas_out_of_range_are_refused(beta):
    with pytest.raises(UsageError, match=rf"`beta` must lie in \[0, 1\), but got {beta}"):
        EffectiveNumberSampler([0, 1], beta=beta)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ([1.0, 1.0, 1.0], UsageError, r"`class_probabilities` of `Mine` must have shape \(2,\), .* has shape \(3,\)\."),
        ([0.0, 0.0], RuntimeError, "invalid multinomial distribution"),
        *(([1.0, x], RuntimeError, "invalid multinomial distribution") for x in (-1.0, float("nan"), float("inf"))),
    ],
)
def test_probabilities_that_are_none_are_refused(wrong, error, message):
    class Mine(MultinomialSampler):
        def class_probabilities(self):
            return torch.tensor(wrong)

    with pytest.raises(error, match=message):
        Mine([0, 1, 1]).indices(0)

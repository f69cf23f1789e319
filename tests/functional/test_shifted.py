"""Test distributions, and accuracy under them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.functional import prior_accuracy, shifted_priors

COUNTS = [10, 500, 50, 50]


def test_forward_follows_the_training_set_and_backward_turns_it_round():
    found = shifted_priors(COUNTS)
    ratios = ["50", "25", "10", "5", "2"]
    assert list(found) == [f"forward-{r}" for r in ratios] + ["uniform"] + [f"backward-{r}" for r in ratios[::-1]]
    ranks = torch.tensor([3, 0, 1, 2])
    expected = 5.0 ** (-ranks.double() / 3)
    torch.testing.assert_close(found["forward-5"], expected / expected.sum())
    torch.testing.assert_close(found["backward-5"], (1 / expected) / (1 / expected).sum())
    assert found["uniform"].tolist() == [0.25] * 4
    assert shifted_priors([7])["forward-50"].tolist() == [1.0]


@given(st.lists(st.integers(1, 500), min_size=2, max_size=20))
@settings(max_examples=20)
def test_they_are_distributions_of_the_ratio(counts):
    for name, prior in shifted_priors(counts).items():
        assert prior.sum().item() == pytest.approx(1)
        if name != "uniform":
            ratio = float(name.partition("-")[2])
            assert (prior.max() / prior.min()).item() == pytest.approx(ratio)


def test_accuracy_is_weighed_and_leaves_out_classes_without_images():
    prior = torch.tensor([0.5, 0.3, 0.2]).double()
    accuracies = torch.tensor([[1.0, 0.0, 0.5], [1.0, float("nan"), 0.5]]).double()
    torch.testing.assert_close(prior_accuracy(accuracies, prior), torch.tensor([0.6, 0.6 / 0.7]).double())
    assert prior_accuracy(torch.full((3,), float("nan")), prior).isnan()

"""Classes in another order are told from mistakes."""

import pytest
import torch

from lt_lightning.functional.reordering import likeliest_order, recall_if_reordered


def imbalanced(seed):
    counts = torch.tensor([200, 90, 40, 18, 8, 4])
    targets = torch.repeat_interleave(torch.arange(6), counts)
    return targets, torch.Generator().manual_seed(seed)


def by_loops(predicted, targets, meant):
    recalls = []
    for label in targets.unique().tolist():
        own = [meant[one] == label for one in predicted[targets == label].tolist()]
        recalls.append(sum(own) / len(own))
    return sum(recalls) / len(recalls)


@pytest.mark.parametrize("order", [[1, 2, 3, 4, 5, 0], [5, 4, 3, 2, 1, 0], [0, 2, 1, 4, 3, 5]])
def test_another_order_is_found(order):
    targets, generator = imbalanced(0)
    noise = torch.rand(len(targets), generator=generator) < 0.2
    predicted = torch.where(noise, 0, torch.tensor(order)[targets])
    plain, renamed, meant = recall_if_reordered(predicted, targets, 6)
    assert meant[torch.tensor(order)].tolist() == list(range(6))
    assert plain == pytest.approx(by_loops(predicted, targets, range(6)))
    assert renamed == pytest.approx(by_loops(predicted, targets, meant.tolist()), abs=0.1)
    assert renamed > plain + 0.4


@pytest.mark.parametrize("seed", range(20))
def test_chance_gains_nothing(seed):
    targets, generator = imbalanced(seed)
    predicted = torch.randint(6, (len(targets),), generator=generator)
    plain, renamed, _ = recall_if_reordered(predicted, targets, 6)
    assert renamed - plain < 0.2


def test_a_blind_tail_is_no_other_order():
    targets, generator = imbalanced(1)
    tail = (targets >= 3) & (torch.rand(len(targets), generator=generator) < 0.9)
    predicted = torch.where(tail, 0, targets)
    plain, renamed, meant = recall_if_reordered(predicted, targets, 6)
    assert renamed <= plain
    assert meant.tolist() == list(range(6))
    everything_in_one = torch.zeros_like(targets)
    plain, renamed, _ = recall_if_reordered(everything_in_one, targets, 6)
    assert plain == renamed == pytest.approx(1 / 6)


def test_of_classes_with_equal_shares_a_prediction_means_itself():
    targets = torch.tensor([0, 0, 1, 1, 2, 2])
    predicted = torch.tensor([0, 2, 2, 0, 0, 2])  # one half of each class
    assert recall_if_reordered(predicted, targets, 3)[2].tolist() == [0, 1, 2]


def test_classes_without_samples_count_nothing():
    plain, renamed, meant = recall_if_reordered(torch.tensor([2, 2, 2, 2]), torch.tensor([0, 0, 0, 0]), 3)
    assert (plain, renamed) == (0.0, 1.0)
    assert meant.tolist() == [0, 1, 0]


@pytest.mark.parametrize("order", [[1, 2, 3, 4, 5, 0], [0, 2, 1, 4, 3, 5]])
def test_the_likeliest_order_is_the_true_one_under_noise(order):
    targets, generator = imbalanced(0)
    noise = torch.rand(len(targets), generator=generator) < 0.2
    predicted = torch.where(noise, 0, torch.tensor(order)[targets])
    assert likeliest_order(predicted, targets, 6)[torch.tensor(order)].tolist() == list(range(6))


def test_no_two_classes_mean_the_same_and_what_is_never_predicted_means_what_is_left():
    targets = torch.tensor([0, 0, 1, 1, 1, 2, 3])
    predicted = torch.tensor([1, 1, 0, 0, 1, 1, 0])
    # 1 is predicted for all of class 0, and for all of class 2; 0 for all of class 3.
    assert likeliest_order(predicted, targets, 5).tolist() == [3, 0, 2, 1, 4]

"""Classes in another order are told from mistakes."""

import pytest
import torch

from lt_lightning.functional.reordering import (
    agreement,
    agreement_if_reordered,
    exchanged_classes,
    likeliest_order,
)


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
    plain, renamed, meant = agreement_if_reordered(predicted, targets, 6)
    assert meant[torch.tensor(order)].tolist() == list(range(6))
    assert plain.recall == pytest.approx(by_loops(predicted, targets, range(6)))
    assert plain.accuracy == pytest.approx(float((predicted == targets).float().mean()))
    assert renamed.recall == pytest.approx(by_loops(predicted, targets, meant.tolist()), abs=0.1)
    assert renamed.recall > plain.recall + 0.4
    assert renamed.kappa > plain.kappa + 0.4


@pytest.mark.parametrize("seed", range(20))
def test_chance_gains_nothing(seed):
    targets, generator = imbalanced(seed)
    predicted = torch.randint(6, (len(targets),), generator=generator)
    plain, renamed, _ = agreement_if_reordered(predicted, targets, 6)
    assert renamed.recall - plain.recall < 0.2
    assert renamed.kappa - plain.kappa < 0.2
    assert exchanged_classes(predicted, targets, 6).tolist() == list(range(6))


@pytest.mark.parametrize("seed", range(20))
def test_one_class_for_nearly_all_by_chance_gains_nothing(seed):
    """Were the small class the name of the large one, most images would be right."""
    targets = torch.repeat_interleave(torch.arange(2), torch.tensor([400, 19]))
    predicted = (torch.rand(419, generator=torch.Generator().manual_seed(seed)) < 0.9).long()
    plain, renamed, _ = agreement_if_reordered(predicted, targets, 2)
    assert renamed.kappa - plain.kappa < 0.2


def test_kappa_leaves_out_what_chance_makes_right():
    targets = torch.tensor([0] * 6 + [1] * 4)
    predicted = torch.tensor([0] * 5 + [1] * 3 + [0] * 2)
    # 7 of 10 are right, and by chance 0.6 · 0.7 + 0.4 · 0.3 = 0.54 of them.
    assert agreement(predicted, targets, 2).kappa == pytest.approx((0.7 - 0.54) / (1 - 0.54))
    assert agreement(torch.zeros(10, dtype=torch.int64), targets, 2).kappa == 0.0
    assert agreement(targets, targets, 2).kappa == 1.0
    assert agreement(targets[:6], targets[:6], 2).kappa == 0.0  # of one class nothing is known by more than chance


def test_in_another_order_a_blind_tail_is_told_by_images_not_by_classes():
    counts = torch.tensor([400, 260, 160, 110, 90, 60, 40, 30, 20, 10])
    targets = torch.repeat_interleave(torch.arange(10), counts)
    predicted = targets.clamp(max=1)[torch.randperm(1180, generator=torch.Generator().manual_seed(0))]
    predicted = torch.where(targets < 2, targets, predicted)
    plain, renamed, _ = agreement_if_reordered(9 - predicted, targets, 10)
    assert renamed.recall - plain.recall < 0.2
    assert renamed.kappa - plain.kappa > 0.3
    assert exchanged_classes(9 - predicted, targets, 10).tolist() == list(range(10))
    plain, renamed, _ = agreement_if_reordered(predicted, targets, 10)
    assert renamed == plain


@pytest.mark.parametrize("order", [[1, 0, 2, 3, 4, 5], [1, 2, 0, 3, 4, 5], [1, 0, 3, 2, 4, 5], [0, 1, 2, 4, 3, 5]])
def test_exchanged_classes_are_found_though_the_tail_is_called_by_their_names(order):
    targets, generator = imbalanced(0)
    noise = torch.rand(len(targets), generator=generator) < 0.1
    predicted = torch.where(noise | (targets == 5), 0, torch.tensor(order)[targets])
    assert exchanged_classes(predicted, targets, 6)[torch.tensor(order)].tolist() == list(range(6))


def test_of_classes_of_few_samples_or_without_a_clear_majority_none_is_exchanged():
    targets, generator = imbalanced(0)
    for order, share in (([0, 1, 2, 3, 5, 4], 1.0), ([1, 0, 2, 3, 4, 5], 0.6), ([1, 1, 2, 3, 4, 5], 1.0)):
        moved = torch.rand(len(targets), generator=generator) < share
        predicted = torch.where(moved, torch.tensor(order)[targets], targets)
        assert exchanged_classes(predicted, targets, 6).tolist() == list(range(6))


def test_a_blind_tail_is_no_other_order():
    targets, generator = imbalanced(1)
    tail = (targets >= 3) & (torch.rand(len(targets), generator=generator) < 0.9)
    predicted = torch.where(tail, 0, targets)
    plain, renamed, meant = agreement_if_reordered(predicted, targets, 6)
    assert renamed.recall <= plain.recall
    assert renamed.kappa <= plain.kappa
    assert exchanged_classes(predicted, targets, 6).tolist() == list(range(6))
    assert meant.tolist() == list(range(6))
    everything_in_one = torch.zeros_like(targets)
    plain, renamed, _ = agreement_if_reordered(everything_in_one, targets, 6)
    assert plain.recall == renamed.recall == pytest.approx(1 / 6)


def test_of_classes_with_equal_shares_a_prediction_means_itself():
    targets = torch.tensor([0, 0, 1, 1, 2, 2])
    predicted = torch.tensor([0, 2, 2, 0, 0, 2])  # one half of each class
    assert likeliest_order(predicted, targets, 3).tolist() == [0, 1, 2]


def test_classes_without_samples_count_nothing():
    plain, renamed, meant = agreement_if_reordered(torch.tensor([2, 2, 2, 2]), torch.tensor([0, 0, 0, 0]), 3)
    assert (plain.recall, renamed.recall) == (0.0, 1.0)
    assert meant.tolist() == [2, 1, 0]


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

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.functional import GROUPS, class_accuracies, group_accuracies, group_means, group_of
from lt_lightning.functional.groups import accuracy_summaries


def test_both_ends_are_medium() -> None:
    masks = group_of([500, 101, 100, 20, 19, 1])
    assert masks.tolist() == [
        [True, True, False, False, False, False],
        [False, False, True, True, False, False],
        [False, False, False, False, True, True],
    ]


@settings(max_examples=50)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=50), st.integers(0, 150), st.integers(0, 150))
def test_each_class_is_in_one_group(counts: list[int], low: int, extra: int) -> None:
    assert group_of(counts, (low, low + extra)).sum(dim=0).tolist() == [1] * len(counts)


@pytest.mark.parametrize(("ratio", "sizes"), [(10, [69, 31, 0]), (50, [41, 41, 18]), (100, [35, 35, 30])])
def test_groups_of_cifar100_lt(ratio: int, sizes: list[int]) -> None:
    counts = [int(500 * ratio ** (-c / 99)) for c in range(100)]
    assert group_of(counts).sum(dim=1).tolist() == sizes


def test_means_leave_out_classes_without_a_value() -> None:
    values = torch.tensor([1.0, math.nan, 3.0, math.nan])
    masks = torch.tensor([[True, True, True, True], [False, True, False, True], [False] * 4])
    means = group_means(values, masks)
    assert means[0].item() == 2.0
    assert means[1:].isnan().all()


def test_class_accuracies_are_fp64_and_nan_without_images() -> None:
    accuracies = class_accuracies(torch.tensor([1, 0]), torch.tensor([3, 0]))
    assert accuracies.dtype == torch.float64
    assert accuracies[0].item() == 1 / 3
    assert accuracies[1].isnan()


def test_group_means_are_over_classes_and_micro_over_images() -> None:
    correct, total = torch.tensor([9, 1, 0, 0]), torch.tensor([10, 2, 4, 0])
    results = group_accuracies(correct, total, group_of([200, 150, 5, 5]))
    assert set(results) == {"all", *GROUPS, "micro", "harmonic", "geometric", "worst"}
    assert results["all"].item() == pytest.approx((0.9 + 0.5 + 0.0) / 3)
    assert results["many"].item() == pytest.approx(0.7)
    assert results["medium"].isnan()  # no such class
    assert results["few"].item() == 0.0  # the class without images is left out
    assert results["micro"].item() == pytest.approx(10 / 16)


@settings(max_examples=50)
@given(st.lists(st.one_of(st.just(math.nan), st.floats(0.01, 1)), min_size=1, max_size=9))
def test_summaries_written_out(accuracies: list[float]) -> None:
    found = {name: value.item() for name, value in accuracy_summaries(torch.tensor(accuracies).double()).items()}
    known = [float(torch.tensor(value)) for value in accuracies if not math.isnan(value)]
    n = len(known)
    expected = {
        "harmonic": n / sum(1 / value for value in known) if known else math.nan,
        "geometric": math.prod(known) ** (1 / n) if known else math.nan,
        "worst": min(known, default=math.nan),
    }
    assert found == pytest.approx(expected, rel=1e-9, nan_ok=True)


def test_one_class_never_right_takes_all_summaries_to_zero() -> None:
    found = accuracy_summaries(torch.tensor([0.9, 0.0, math.nan], dtype=torch.float64))
    assert [value.item() for value in found.values()] == [0.0, 0.0, 0.0]

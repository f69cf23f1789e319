import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.functional import elm_margins, ldam_margins, maximum_margins, scale_with_margin


@settings(max_examples=50)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=30), st.floats(0.01, 2))
def test_margins_are_the_inverse_fourth_root(counts: list[int], largest: float) -> None:
    margins = ldam_margins(torch.tensor(counts, dtype=torch.float64), largest)
    raw = [count**-0.25 for count in counts]
    assert margins.tolist() == pytest.approx([largest * value / max(raw) for value in raw], rel=1e-12)


def test_margins_of_cifar100_lt() -> None:
    margins = ldam_margins(torch.tensor([500.0, 5.0]), 0.5)
    assert margins.tolist() == pytest.approx([0.158, 0.5], abs=5e-4)


LOGITS = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=torch.float64)
TARGETS = torch.tensor([2, 0])
MARGINS = torch.tensor([0.1, 0.2, 0.5], dtype=torch.float64)


def test_only_targets_are_lowered_and_all_are_scaled() -> None:
    logits = LOGITS.float().requires_grad_()
    lowered = scale_with_margin(logits, TARGETS, MARGINS[TARGETS], 2.0)
    torch.testing.assert_close(lowered, torch.tensor([[2.0, 4.0, 5.0], [7.8, 10.0, 12.0]]))
    lowered.sum().backward()
    assert torch.equal(logits.grad, torch.full((2, 3), 2.0))
    assert torch.equal(logits.detach(), LOGITS.float())


def test_the_rival_is_the_largest_other_logit() -> None:
    assert elm_margins(LOGITS, TARGETS, MARGINS, 1.0).tolist() == pytest.approx([0.5 - 0.2, 0.1 - 0.5])
    assert elm_margins(LOGITS, TARGETS, MARGINS, 0.5, target_margin=False).tolist() == pytest.approx([-0.1, -0.25])


def test_the_target_is_no_rival_where_all_logits_are_negative() -> None:
    below = LOGITS - 100
    assert torch.equal(elm_margins(below, TARGETS, MARGINS, 1.0), elm_margins(LOGITS, TARGETS, MARGINS, 1.0))
    torch.testing.assert_close(
        maximum_margins(below, TARGETS, MARGINS, 1.1), maximum_margins(LOGITS, TARGETS, MARGINS, 1.1)
    )


def test_margins_are_constants() -> None:
    logits = LOGITS.clone().requires_grad_()
    assert not elm_margins(logits, TARGETS, MARGINS, 1.0).requires_grad
    assert not maximum_margins(logits, TARGETS, MARGINS, 1.1).requires_grad


def test_each_sample_is_measured_by_its_own_target() -> None:
    found = maximum_margins(LOGITS, TARGETS, MARGINS, 3.0)
    expected = [math.exp(-1.0 - 3.0 * 0.5), math.exp(-2.0 - 0.1)]  # leads by 1, trails by 2
    assert found.tolist() == pytest.approx(expected, rel=1e-12)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_order_of_samples_does_not_matter(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits, targets = torch.randn(5, 3, generator=generator), torch.randint(3, (5,), generator=generator)
    order = torch.randperm(5, generator=generator)
    for margins in (elm_margins, maximum_margins):
        found = margins(logits[order], targets[order], MARGINS, 1.1)
        assert torch.equal(found, margins(logits, targets, MARGINS, 1.1)[order])


def test_on_the_boundary_there_is_no_margin() -> None:
    assert maximum_margins(torch.zeros(1, 3), torch.tensor([1]), MARGINS, 1.1).tolist() == [0.0]

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.functional import ldam_margins, subtract_margins


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=30), st.floats(0.01, 2))
def test_margins_are_the_inverse_fourth_root(counts: list[int], largest: float) -> None:
    margins = ldam_margins(torch.tensor(counts, dtype=torch.float64), largest)
    raw = [count**-0.25 for count in counts]
    assert margins.tolist() == pytest.approx([largest * value / max(raw) for value in raw], rel=1e-12)


def test_margins_of_cifar100_lt() -> None:
    margins = ldam_margins(torch.tensor([500.0, 5.0]), 0.5)
    assert margins.tolist() == pytest.approx([0.158, 0.5], abs=5e-4)


def test_only_targets_are_lowered() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    lowered = subtract_margins(logits, torch.tensor([2, 0]), torch.tensor([0.1, 0.2, 0.5], dtype=torch.float64))
    torch.testing.assert_close(lowered, torch.tensor([[1.0, 2.0, 2.5], [3.9, 5.0, 6.0]]))
    lowered.sum().backward()
    assert torch.equal(logits.grad, torch.ones(2, 3))

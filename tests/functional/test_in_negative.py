import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.functional import in_negative_reweighted_loss


def batch(n: int, k: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(n, k, generator=generator, dtype=torch.float64), torch.randint(k, (n,), generator=generator)


def written_out(logits: torch.Tensor, targets: torch.Tensor, beta: float) -> float:
    """Equation 11 of the paper, class by class."""
    rows, total = logits.tolist(), 0.0
    members = {j: [row for row, y in zip(rows, targets.tolist(), strict=True) if y == j] for j in set(targets.tolist())}

    def sigmoid(z: float) -> float:
        return 1 / (1 + math.exp(-z))

    for k in range(logits.shape[1]):
        if k in members:
            total -= sum(math.log(sigmoid(row[k])) for row in members[k]) / len(members[k])
        others = [j for j in members if j != k]
        hardness = {j: math.exp(beta * sum(sigmoid(row[k]) for row in members[j]) / len(members[j])) for j in others}
        for j in others:
            mean = sum(math.log(1 - sigmoid(row[k])) for row in members[j]) / len(members[j])
            total -= hardness[j] / sum(hardness.values()) * mean
    return total


@settings(max_examples=20)
@given(n=st.integers(1, 12), k=st.integers(2, 9), beta=st.sampled_from([0.0, 1.0, 30.0]), seed=st.integers(0, 1000))
def test_formula_class_by_class(n: int, k: int, beta: float, seed: int) -> None:
    # Both with more classes than samples and with fewer, which take different rows.
    logits, targets = batch(n, k, seed)
    found = in_negative_reweighted_loss(logits, targets, beta)
    assert found.item() == pytest.approx(written_out(logits, targets, beta), rel=1e-10)


@pytest.mark.parametrize(("n", "k"), [(9, 4), (5, 8), (4, 4), (1, 3), (2, 2)])
@pytest.mark.parametrize("beta", [0.0, 1.0, 5.0])
def test_gradients(n: int, k: int, beta: float) -> None:
    logits, targets = batch(n, k)
    assert torch.autograd.gradcheck(
        lambda z: in_negative_reweighted_loss(z, targets, beta), logits.mul(0.5).requires_grad_()
    )


@pytest.mark.parametrize("n", [3, 9])
def test_a_batch_of_one_class(n: int) -> None:
    # It is nobody's own negative: its own logit has a positive term alone, the others average over its samples.
    logits, _ = batch(n, 5)
    targets = torch.full((n,), 3)
    leaf = logits.requires_grad_()
    value = in_negative_reweighted_loss(leaf, targets, 1.0)
    value.backward()
    assert value.item() == pytest.approx(written_out(logits.detach(), targets, 1.0), rel=1e-10)
    expected = torch.sigmoid(logits.detach()) / n
    expected[:, 3] -= 1 / n
    torch.testing.assert_close(leaf.grad, expected)


def test_repeating_the_batch_changes_nothing() -> None:
    logits, targets = batch(3, 7)
    twice = in_negative_reweighted_loss(logits.repeat(4, 1), targets.repeat(4), 1.0)
    torch.testing.assert_close(twice, in_negative_reweighted_loss(logits, targets, 1.0))

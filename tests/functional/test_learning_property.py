import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.functional.learning_property import gradient_sides, relative_residual
from tests.gradients import logit_gradients


def made(n: int, k: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, k, generator=generator, dtype=torch.float64)
    targets = torch.randint(k, (n,), generator=generator)
    return logits, targets, 0.1 + torch.rand(k, generator=generator, dtype=torch.float64)


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(2, 5), st.integers(0, 1000), st.booleans())
def test_both_sides_of_equation_8_written_out(n: int, k: int, seed: int, one_vs_all: bool) -> None:
    logits, targets, weight = made(n, k, seed)
    p = logits.sigmoid() if one_vs_all else logits.softmax(1)
    sides = gradient_sides(logit_gradients(logits, targets, weight, one_vs_all), torch.float64)
    residual = relative_residual(sides)
    for c in range(k):
        left = sum(weight[c] * (1 - p[i, c]) for i in range(n) if targets[i] == c)
        right = sum(weight[targets[i]] * p[i, c] for i in range(n) if targets[i] != c)
        assert float(sides[0, c]) == pytest.approx(float(left), abs=1e-12)
        assert float(sides[1, c]) == pytest.approx(float(right), abs=1e-12)
        assert float(residual[c]) == pytest.approx(float((left - right) / (left + right)), abs=1e-12)


def test_decay_pulls_towards_a_bias_of_0_from_either_side() -> None:
    sides = torch.tensor([[3.0, 1.0], [1.0, 3.0]])
    found = relative_residual(sides, torch.tensor([2.0, -2.0]))
    assert found.tolist() == [0.0, 0.0]
    assert relative_residual(sides, torch.tensor([-2.0, 2.0])).tolist() == pytest.approx([4 / 6, -4 / 6])


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_a_trained_bias_brings_the_residual_to_zero(decay: float) -> None:
    logits, targets, weight = made(60, 3, 5)
    weights = weight[targets]
    bias = torch.zeros(3, dtype=torch.float64)
    divisor = weights.sum()
    for _ in range(4000):
        gradient = logit_gradients(logits + bias, targets, weight).sum(0) / divisor + decay * bias
        bias = bias - gradient
    sides = gradient_sides(logit_gradients(logits + bias, targets, weight), torch.float64)
    with_decay = relative_residual(sides, decay * divisor * bias)
    torch.testing.assert_close(with_decay, torch.zeros_like(with_decay), rtol=0, atol=1e-9)
    assert (relative_residual(sides).abs().max() > 0.01) == (decay > 0)


def test_nothing_acts_on_a_class_never_likely_nor_shown() -> None:
    sides = gradient_sides(torch.tensor([[0.5, -0.5, 0.0]]), torch.float64)
    assert sides.tolist() == [[0.0, 0.5, 0.0], [0.5, 0.0, 0.0]]
    residual = relative_residual(sides)
    assert residual[:2].tolist() == [-1.0, 1.0]
    assert residual[2].isnan()

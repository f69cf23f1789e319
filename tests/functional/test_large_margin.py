import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lt_lightning.functional import large_margin_terms


def made(n: int, k: int, seed: int, scale: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, k, generator=generator, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(k, (n,), generator=generator)


def written_out(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    others = logits[F.one_hot(targets, logits.shape[1]) == 0].view(len(logits), -1)
    log_q = others.log_softmax(1)
    regularizer = ((log_q.exp() - 1 / others.shape[1]) * log_q).sum(1) / 2
    return F.cross_entropy(logits, targets, reduction="none"), regularizer


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), k=st.integers(2, 12), scale=st.floats(0.01, 20))
def test_values_and_gradients_equal_plain_autograd(seed: int, k: int, scale: float) -> None:
    logits, targets = made(4, k, seed, scale)
    mixture = torch.linspace(0.3, 2.0, 8, dtype=torch.float64)
    values = [torch.cat(terms(logits, targets)) for terms in (large_margin_terms, written_out)]
    gradients = [torch.autograd.grad(value @ mixture, logits)[0] for value in values]
    torch.testing.assert_close(values[0], values[1], rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-11, atol=1e-11)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), k=st.integers(3, 12))
def test_regularizer_is_zero_for_equal_rivals_and_positive_otherwise(seed: int, k: int) -> None:
    logits, targets = made(4, k, seed)
    assert bool((large_margin_terms(logits, targets)[1] > 0).all())
    equal = torch.full((4, k), 1.7, dtype=torch.float64).scatter(1, targets.unsqueeze(1), 5.0)
    torch.testing.assert_close(large_margin_terms(equal, targets)[1], torch.zeros(4, dtype=torch.float64))


def test_two_classes_have_no_rivals_to_flatten() -> None:
    logits, targets = made(4, 2, 0)
    regularizer = large_margin_terms(logits, targets)[1]
    assert torch.equal(regularizer, torch.zeros(4, dtype=torch.float64))
    regularizer.sum().backward()
    assert torch.equal(logits.grad, torch.zeros(4, 2, dtype=torch.float64))


@pytest.mark.parametrize("leader", [1e4, -1e4])
def test_fp32_gradients_hold_where_a_logit_dominates(leader: float) -> None:
    logits, targets = made(4, 6, 1)
    logits = logits.detach().scatter(1, targets.unsqueeze(1), leader)
    gradients = []
    for dtype in (torch.float32, torch.float64):
        leaf = logits.to(dtype).requires_grad_()
        torch.stack(large_margin_terms(leaf, targets)).sum().backward()
        gradients.append(leaf.grad.double())
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-7)


def test_inputs_are_left_alone() -> None:
    logits, targets = made(4, 6, 2)
    before = logits.detach().clone()
    sum(term.sum() for term in large_margin_terms(logits, targets)).backward()
    assert torch.equal(logits.detach(), before)

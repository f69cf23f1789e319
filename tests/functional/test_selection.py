import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.functional import (
    hard_selection_loss,
    hard_selection_softmax_loss,
    one_vs_all_loss,
    soft_selection_loss,
    softmax_bce_loss,
)
from lt_lightning.functional.selection import _largest


def batch(n: int = 7, k: int = 9, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(n, k, generator=generator, dtype=torch.float64), torch.randint(k, (n,), generator=generator)


def labels(n: int = 7, k: int = 9) -> torch.Tensor:
    """Several classes per sample; none in the first row, all in the second."""
    drawn = torch.randint(2, (n, k), generator=torch.Generator().manual_seed(1))
    drawn[0], drawn[1] = 0, 1
    return drawn


def log_terms(z: float) -> tuple[float, float, float]:
    """Probability, -log p and -log(1 - p)."""
    p = 1 / (1 + math.exp(-z))
    return p, -math.log(p), -math.log(1 - p)


def written_out(row: list[float], positives: set[int], kind: str, amount: float, beta: float) -> float:
    """Equations 5 and 6 of the paper, class by class."""
    total = sum(log_terms(z)[1] for k, z in enumerate(row) if k in positives)
    negatives = sorted((log_terms(z) for k, z in enumerate(row) if k not in positives), reverse=True)
    if kind == "hard":
        number = max(1, math.floor(amount * len(negatives) / 100))
        return total + beta / number * sum(loss for _, _, loss in negatives[:number])
    return total + beta / max(1, len(negatives)) * sum(p**amount * loss for p, _, loss in negatives)


@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("amount", [0.0, 2.0, 25.0, 60.0, 100.0])
def test_formula_class_by_class(kind: str, amount: float) -> None:
    logits, targets = batch()
    function = hard_selection_loss if kind == "hard" else soft_selection_loss
    for given_targets, sets in (
        (targets, [{y} for y in targets.tolist()]),
        (labels(), [{k for k, on in enumerate(row) if on} for row in labels().tolist()]),
        (labels().bool(), [{k for k, on in enumerate(row) if on} for row in labels().tolist()]),
        (labels().float(), [{k for k, on in enumerate(row) if on} for row in labels().tolist()]),
    ):
        expected = [written_out(row, ys, kind, amount, 7.0) for row, ys in zip(logits.tolist(), sets, strict=True)]
        assert function(logits, given_targets, amount, 7.0).tolist() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("function", [hard_selection_loss, soft_selection_loss])
@pytest.mark.parametrize("amount", [0.0, 0.5, 2.0, 50.0])
def test_gradients(function, amount: float) -> None:
    logits, targets = batch()
    for given_targets in (targets, labels()):
        assert torch.autograd.gradcheck(lambda z: function(z, given_targets, amount, 10.0), logits.requires_grad_())  # noqa: B023


@pytest.mark.parametrize("function", [hard_selection_loss, soft_selection_loss])
def test_one_class_each_as_labels(function) -> None:
    logits, targets = batch()
    one_hot = torch.nn.functional.one_hot(targets, 9)
    torch.testing.assert_close(function(logits, one_hot, 50.0, 10.0), function(logits, targets, 50.0, 10.0))


def test_a_percentage_next_to_a_whole_number_is_cut_alike_for_one_class_and_several() -> None:
    logits, targets = batch()  # of 8 negative classes 7.99999999, which fp32 takes for 8
    several = torch.nn.functional.one_hot(targets, 9)
    one = hard_selection_loss(logits, targets, 99.9999999, 10.0)
    torch.testing.assert_close(hard_selection_loss(logits, several, 99.9999999, 10.0), one)
    torch.testing.assert_close(one, hard_selection_loss(logits, targets, 7 / 8 * 100, 10.0))


def test_alpha_1_and_all_negatives_give_the_logistic_loss() -> None:
    logits, targets = batch()
    expected = one_vs_all_loss(logits, targets)
    torch.testing.assert_close(hard_selection_loss(logits, targets, 100.0, 10.0, alpha=1.0), expected)
    torch.testing.assert_close(soft_selection_loss(logits, targets, 0.0, 10.0, alpha=1.0), expected)
    torch.testing.assert_close(
        hard_selection_loss(logits, labels(), 100.0, 10.0, alpha=1.0), one_vs_all_loss(logits, labels())
    )


def test_r_0_equals_hard_selection_of_all() -> None:
    logits, targets = batch()
    torch.testing.assert_close(
        soft_selection_loss(logits, targets, 0.0, 10.0), hard_selection_loss(logits, targets, 100.0, 10.0)
    )


@pytest.mark.parametrize("several", [False, True])
def test_tied_negatives_share_the_last_places(several: bool) -> None:
    # Two places for the logits 3, 1, 1, 1: one third of a place for each 1.
    logits = torch.tensor([[0.0, 3.0, 1.0, 1.0, 1.0, -2.0]], dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[1, 0, 0, 0, 0, 0]]) if several else torch.tensor([0])
    losses = hard_selection_loss(logits, targets, 40.0, 2.0)
    losses.sum().backward()
    assert losses.item() == pytest.approx(math.log(2) + log_terms(3.0)[2] + log_terms(1.0)[2])
    s3, s1 = log_terms(3.0)[0], log_terms(1.0)[0]
    assert logits.grad is not None
    assert logits.grad[0].tolist() == pytest.approx([-0.5, s3, s1 / 3, s1 / 3, s1 / 3, 0.0])


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), number=st.integers(1, 9))
def test_partition_finds_what_topk_finds(seed: int, number: int) -> None:
    logits, _ = batch(seed=seed)
    kept = logits.clone()
    found = _largest(logits, number, in_order=False).sort(1, descending=True).values
    assert torch.equal(found, _largest(logits, number, in_order=True))
    assert torch.equal(logits, kept)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by dynamo of torch 2.9
@pytest.mark.parametrize("function", [hard_selection_loss, hard_selection_softmax_loss])
@pytest.mark.parametrize("classes", [9, 700])  # where torch finds the largest, and where blocks do
def test_compiled_it_finds_the_same(function, classes: int) -> None:
    logits, targets = batch(k=classes)
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(logits, targets, 50.0, 10.0), function(logits, targets, 50.0, 10.0))


def test_two_classes() -> None:
    logits = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    for function in (hard_selection_loss, soft_selection_loss):
        assert function(logits, torch.tensor([0]), 0.0, 1.0).item() == pytest.approx(2 * log_terms(1.0)[1])


@pytest.mark.parametrize("amount", [0.0, 25.0, 60.0, 100.0])
def test_softmax_formula_class_by_class(amount: float) -> None:
    logits, targets = batch()
    expected = []
    for row, y in zip(logits.softmax(1).tolist(), targets.tolist(), strict=True):
        negatives = sorted((p for k, p in enumerate(row) if k != y), reverse=True)
        number = max(1, math.floor(amount * 8 / 100))
        expected.append(-math.log(row[y]) - 7.0 / number * sum(math.log(1 - p) for p in negatives[:number]))
    assert hard_selection_softmax_loss(logits, targets, amount, 7.0).tolist() == pytest.approx(expected, rel=1e-10)


def test_tied_softmax_negatives_share_the_last_places() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0, 1.0, 1.0, -2.0]], dtype=torch.float64)
    losses = -(1 - logits.softmax(1)[0]).log()
    expected = -logits.log_softmax(1)[0, 0] + losses[1] + losses[2]  # β / n is 1
    assert hard_selection_softmax_loss(logits, torch.tensor([0]), 40.0, 2.0).item() == pytest.approx(expected.item())


def test_all_softmax_negatives_at_alpha_1_are_binary_cross_entropy() -> None:
    logits, targets = batch()
    found = hard_selection_softmax_loss(logits, targets, 100.0, 10.0, alpha=1.0)
    torch.testing.assert_close(found, softmax_bce_loss(logits, targets))


def test_a_sure_mistake_of_softmax_costs_what_it_should() -> None:
    """1 - p of the wrong class is exp(-200), which is no number beside 1."""
    logits = torch.tensor([[0.0, 200.0, 0.0]], requires_grad=True)
    value = hard_selection_softmax_loss(logits, torch.tensor([0]), 0.0, 10.0)
    assert value.item() == pytest.approx(200 + 10 * (200 - math.log(2)))
    value.sum().backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.tensor([[-6.0, 11.0, -5.0]]))

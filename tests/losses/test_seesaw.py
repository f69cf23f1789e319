import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from lt_lightning.errors import UsageError
from lt_lightning.losses import SeesawLoss

COUNTS = [500, 120, 33, 7, 7, 1]


def batch(seed: int, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(9, len(COUNTS), generator=generator, dtype=torch.float64)
    return logits, torch.randint(len(COUNTS), (9,), generator=generator)


def by_the_paper(logits: Tensor, targets: Tensor, p: float, q: float, floor: float = 0.0) -> list[float]:
    """Factors S and then ``-log(e^z_i / (Σ_{j≠i} S_ij e^z_j + e^z_i))``, a pair of classes at a time."""
    losses = []
    for row, i in zip(logits.tolist(), targets.tolist(), strict=True):
        total = sum(math.exp(z) for z in row)
        share = [math.exp(z) / total for z in row]
        below = math.exp(row[i])
        for j, z in enumerate(row):
            if j != i:
                mitigation = (COUNTS[j] / COUNTS[i]) ** p if COUNTS[i] > COUNTS[j] else 1.0
                compensation = max(1.0, (share[j] / max(share[i], floor)) ** q)
                below += mitigation * compensation * math.exp(z)
        losses.append(-math.log(math.exp(row[i]) / below))
    return losses


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.floats(0, 2), st.floats(0, 3), st.sampled_from([0.0, 0.01, 0.3]))
def test_the_formula_of_the_paper(seed: int, p: float, q: float, floor: float) -> None:
    logits, targets = batch(seed)
    found = SeesawLoss(COUNTS, p=p, q=q, floor=floor, reduction="none")(logits, targets)
    expected = torch.tensor(by_the_paper(logits, targets, p, q, floor), dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_without_either_factor_it_is_cross_entropy() -> None:
    logits, targets = batch(0)
    torch.testing.assert_close(SeesawLoss(COUNTS, p=0, q=0)(logits, targets), F.cross_entropy(logits, targets))


def test_no_gradient_passes_through_the_factors() -> None:
    logits, targets = batch(1)
    logits.requires_grad_()
    (found,) = torch.autograd.grad(SeesawLoss(COUNTS, floor=0.0, reduction="sum")(logits, targets), logits)
    shares = torch.softmax(logits.detach(), dim=1)
    counts = torch.tensor(COUNTS, dtype=torch.float64)
    own = shares.gather(1, targets[:, None])
    factors = (counts / counts[targets][:, None]).clamp(max=1) ** 0.8 * (shares / own).clamp(min=1) ** 2
    weighted = shares * factors
    expected = weighted / weighted.sum(1, keepdim=True) - F.one_hot(targets, len(COUNTS))
    torch.testing.assert_close(found, expected)


def test_a_rare_class_is_spared_where_nothing_is_mistaken() -> None:
    logits = torch.zeros(1, len(COUNTS), dtype=torch.float64)
    gradients = []
    for loss in (SeesawLoss(COUNTS), SeesawLoss(COUNTS, p=0)):
        leaf = logits.clone().requires_grad_()
        gradients.append(torch.autograd.grad(loss(leaf, torch.tensor([2])), leaf)[0][0])
    with_mitigation, without = gradients
    assert (with_mitigation[3:] < without[3:] / 2).all()  # rarer than class 2
    assert with_mitigation[0] == with_mitigation[1]  # more frequent: pushed down alike, however frequent
    assert with_mitigation[1] > without[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_factors_that_no_float_holds_are_summed_as_logarithms(dtype: torch.dtype) -> None:
    logits = torch.tensor([[0.0, 300.0, 0.0, 0.0, 0.0, 0.0]], dtype=dtype)
    found = SeesawLoss(COUNTS, floor=0.0)(logits, torch.tensor([0]))
    assert found.item() == pytest.approx(300 + 2 * 300 + 0.8 * math.log(120 / 500), rel=1e-6)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"p": -0.1}, "`p` must be"),
        ({"q": -1.0}, "`q` must be"),
        ({"floor": 1.5}, r"`floor` must lie in \[0, 1\], but got 1.5"),
        ({"floor": math.nan}, r"`floor` must lie in \[0, 1\], but got nan"),
    ],
)
def test_wrong_constants_are_refused(options: dict[str, float], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        SeesawLoss(COUNTS, **options)

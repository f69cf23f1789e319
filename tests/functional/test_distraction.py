import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.functional.distraction import distraction
from tests.gradients import logit_gradients


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(2, 6), st.integers(0, 1000), st.booleans())
def test_definitions_written_out(n: int, k: int, seed: int, one_vs_all: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, k, generator=generator, dtype=torch.float64)
    targets = torch.randint(k, (n,), generator=generator)
    gradients = logit_gradients(logits, targets, one_vs_all=one_vs_all) / n
    found = distraction(logits, targets, gradients, one_vs_all)
    p = logits.sigmoid() if one_vs_all else logits.softmax(1)
    own = torch.zeros(n, k, dtype=torch.bool).scatter(1, targets.unsqueeze(1), True)
    assert found.positive_loss.item() == pytest.approx(-p[own].log().sum().item() / n)
    assert found.negative_loss.item() == pytest.approx(-(1 - p[~own]).log().sum().item() / n)
    ratio = gradients[own].abs().sum() / gradients[~own].abs().sum()
    assert found.gradient_ratio.item() == pytest.approx(ratio.item())
    if not one_vs_all:
        assert found.gradient_ratio.item() == pytest.approx(1.0)


def test_many_negative_classes_distract_at_the_start() -> None:
    logits, targets = torch.zeros(4, 200), torch.tensor([0, 1, 2, 3])
    found = distraction(logits, targets, logit_gradients(logits, targets, one_vs_all=True), True)
    assert found.positive_loss.item() == pytest.approx(0.6931472)
    assert found.negative_loss.item() == pytest.approx(199 * 0.6931472, rel=1e-5)  # the paper's "140 vs 0.4"
    assert found.gradient_ratio.item() == pytest.approx(1 / 199)


@pytest.mark.parametrize("one_vs_all", [False, True])
def test_large_logits_stay_finite(one_vs_all: bool) -> None:
    logits, targets = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]]), torch.tensor([1, 2])
    found = distraction(logits, targets, logit_gradients(logits, targets, one_vs_all=one_vs_all), one_vs_all)
    assert all(value.isfinite() for value in found)


@pytest.mark.parametrize("one_vs_all", [False, True])
def test_half_precision_is_raised(one_vs_all: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, gradients = torch.randn(2, 50, 7, generator=generator).bfloat16()
    targets = torch.randint(7, (50,), generator=generator)
    found = distraction(logits, targets, gradients, one_vs_all)
    expected = distraction(logits.float(), targets, gradients.float(), one_vs_all)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)

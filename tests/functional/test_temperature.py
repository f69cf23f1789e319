"""One temperature, recovered where it is known and harmless where it is not."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from lt_lightning.errors import UsageError
from lt_lightning.functional import temperature as module
from lt_lightning.functional.temperature import HIGHEST, LOWEST, fit_temperature, negative_log_likelihood
from tests.kept_tensors import KeptTensors


def drawn(seed: int, number: int, classes: int, scale: float = 2.0) -> torch.Tensor:
    return scale * torch.randn(number, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("true", [0.3, 1.0, 2.5, 7.0])
@pytest.mark.parametrize("one_vs_all", [False, True])
def test_a_known_temperature_is_recovered(true, one_vs_all):
    """Targets drawn from softmax(z) are best told by T = true from true · z."""
    logits = drawn(0, 20_000, 4)
    generator = torch.Generator().manual_seed(1)
    if one_vs_all:  # the law in which exactly one of independent sigmoids fired is a softmax; its optimum is numeric
        targets = torch.multinomial(torch.softmax(logits, 1), 1, generator=generator).squeeze(1)
        base = fit_temperature(logits, targets, one_vs_all=True)
        assert fit_temperature(true * logits, targets, one_vs_all=True) == pytest.approx(true * base, rel=1e-6)
        return
    targets = torch.multinomial(torch.softmax(logits, 1), 1, generator=generator).squeeze(1)
    assert fit_temperature(true * logits, targets) == pytest.approx(true, rel=0.03)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 1000),
    number=st.integers(1, 40),
    classes=st.integers(1, 6),
    scale=st.sampled_from([1e-6, 0.1, 1.0, 30.0, 1e4]),
    one_vs_all=st.booleans(),
)
def test_the_likelihood_never_falls_and_no_grid_point_is_better(seed, number, classes, scale, one_vs_all):
    logits = drawn(seed, number, classes, scale)
    targets = torch.randint(classes, (number,), generator=torch.Generator().manual_seed(seed))
    found = fit_temperature(logits, targets, one_vs_all)
    assert LOWEST * 0.999 <= found <= HIGHEST * 1.001
    least = negative_log_likelihood(logits, targets, found, one_vs_all)
    assert least <= negative_log_likelihood(logits, targets, 1.0, one_vs_all)
    for exponent in torch.linspace(math.log(LOWEST), math.log(HIGHEST), 41).tolist():
        assert least <= negative_log_likelihood(logits, targets, math.exp(exponent), one_vs_all) * (1 + 1e-6) + 1e-9


def test_a_place_without_a_slope_is_the_best_one():
    """Of few logits the slope may be 0 to the last digit, where halving the bracket would leave the optimum."""
    logits = torch.tensor([[0.0394, 0.0], [-0.0559, 0.0]], dtype=torch.float64)
    for scale in torch.linspace(0.5, 2, 40).tolist():
        found = fit_temperature(scale * logits, torch.tensor([1, 1]))
        assert found == pytest.approx(0.1403 * scale, rel=1e-3)


def test_the_derivative_vanishes_at_the_optimum():
    logits = drawn(3, 500, 5).float()
    targets = torch.multinomial(logits.softmax(1), 1, generator=torch.Generator().manual_seed(0)).squeeze(1)
    temperature = torch.tensor(fit_temperature(logits, targets), dtype=torch.float64, requires_grad=True)
    torch.nn.functional.cross_entropy(logits.double() / temperature, targets).backward()
    assert abs(temperature.grad) < 1e-7


@pytest.mark.parametrize("one_vs_all", [False, True])
def test_logits_of_any_size_have_their_temperature(one_vs_all):
    """A loss on unscaled logits, trained at a high rate, leaves some whose best temperature is 400."""
    logits = drawn(3, 500, 5)
    targets = torch.multinomial(logits.softmax(1), 1, generator=torch.Generator().manual_seed(0)).squeeze(1)
    plain = fit_temperature(logits, targets, one_vs_all)
    for factor in (400.0, 1e5):
        assert fit_temperature(factor * logits, targets, one_vs_all) == pytest.approx(factor * plain, rel=1e-6)


def test_extremes_stop_at_the_bounds():
    sure = 0.1 * torch.eye(3).repeat(5, 1)
    targets = torch.arange(3).repeat(5)
    assert fit_temperature(sure, targets) == pytest.approx(LOWEST, rel=1e-6)  # always right: the surer the better
    assert fit_temperature(10 * sure, (targets + 1) % 3) == pytest.approx(HIGHEST, rel=1e-6)  # always wrong
    assert fit_temperature(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)) == 1.0  # nothing to scale


@pytest.mark.parametrize("gap", [1.0, 2.0, 10.0])
def test_separable_logits_stop_where_the_likelihood_is_1(gap):
    logits, targets = gap * torch.eye(3), torch.arange(3)
    found = fit_temperature(logits, targets)
    assert gap / found == pytest.approx(40, rel=0.2)  # further apart fp64 tells nothing from 1
    assert negative_log_likelihood(logits, targets, found) < 1e-15


@pytest.mark.parametrize("offset", [-4.0, 0.1, 1e4])
@pytest.mark.parametrize("seed", range(5))
def test_constant_logits_are_left_alone(offset, seed):
    """All temperatures are as good; none may seem better by rounding."""
    targets = torch.randint(3, (5 + seed,), generator=torch.Generator().manual_seed(seed))
    assert fit_temperature(torch.full((5 + seed, 3), offset), targets) == 1.0


@pytest.mark.parametrize("offset", [1e4, 1e8])
def test_an_offset_changes_nothing(offset):
    """Exponentials are in fp32, in which logits that far off would have three digits, or none."""
    logits = drawn(3, 500, 5)
    targets = torch.multinomial(logits.softmax(1), 1, generator=torch.Generator().manual_seed(0)).squeeze(1)
    assert fit_temperature(logits + offset, targets) == pytest.approx(fit_temperature(logits, targets), rel=1e-6)


@pytest.mark.parametrize("one_vs_all", [False, True])
@pytest.mark.parametrize("scale", [0.1, 1.0, 100.0])
def test_six_digits_are_those_of_fp64(one_vs_all, scale):
    logits = drawn(6, 400, 300, scale)
    targets = torch.multinomial((logits / scale).softmax(1), 1, generator=torch.Generator().manual_seed(0)).squeeze(1)
    place = torch.tensor(-math.log(fit_temperature(logits, targets, one_vs_all)), dtype=torch.float64)

    def likelihood(place: torch.Tensor) -> torch.Tensor:
        scaled = logits * place.exp()
        if one_vs_all:
            own = torch.nn.functional.one_hot(targets, 300).double()
            return torch.nn.functional.binary_cross_entropy_with_logits(scaled, own) * 300
        return torch.nn.functional.cross_entropy(scaled, targets)

    slope = torch.func.grad(likelihood)
    assert abs(slope(place) / torch.func.grad(slope)(place)) < 1e-6  # Newton's step of log T from there


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_narrow_logits_are_raised(dtype):
    logits, targets = drawn(4, 200, 3).to(dtype), torch.arange(200) % 3
    assert fit_temperature(logits, targets) == fit_temperature(logits.double(), targets)


@pytest.mark.parametrize(
    ("logits", "targets", "sentence"),
    [
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), r"N and K above 0, but got \(0, 3\) and \(0,\)"),
        (torch.zeros(2, 3), torch.zeros(1, dtype=torch.int64), r"but got \(2, 3\) and \(1,\)"),
        (torch.full((2, 3), math.nan), torch.zeros(2, dtype=torch.int64), "`logits` must be finite"),
    ],
)
def test_what_cannot_be_fitted_is_named(logits, targets, sentence):
    with pytest.raises(UsageError, match=sentence):
        fit_temperature(logits, targets)


class Largest(TorchDispatchMode):
    """Notes the bytes of the largest tensor that is computed; parts of ``given`` take none."""

    def __init__(self, *given):
        super().__init__()
        self.given = [tensor.untyped_storage().data_ptr() for tensor in given]
        self.nbytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for each in found if isinstance(found, tuple | list) else [found]:
            if isinstance(each, torch.Tensor) and each.untyped_storage().data_ptr() not in self.given:
                self.nbytes = max(self.nbytes, each.nbytes)
        return found


@pytest.mark.parametrize("one_vs_all", [False, True])
def test_logits_are_gone_through_in_parts_with_the_same_result(one_vs_all, monkeypatch):
    logits, targets = drawn(5, 203, 7).float(), torch.arange(203) % 7
    whole = fit_temperature(logits, targets, one_vs_all)
    likelihood = negative_log_likelihood(logits, targets, 1.5, one_vs_all)
    wide = logits.double()
    if one_vs_all:
        plain = torch.nn.functional.softplus(wide / 1.5).sum(1) - wide.gather(1, targets[:, None])[:, 0] / 1.5
        plain = plain.mean()
    else:
        plain = torch.nn.functional.cross_entropy(wide / 1.5, targets)
    assert likelihood == pytest.approx(plain.item(), rel=1e-12)
    monkeypatch.setattr(module, "_ENTRIES", 10 * 7)
    with Largest(logits, targets) as largest:
        assert fit_temperature(logits, targets, one_vs_all) == pytest.approx(whole, rel=1e-6)
        assert negative_log_likelihood(logits, targets, 1.5, one_vs_all) == likelihood
    # A number of each image is kept, and no copy of all logits is made, of whatever type.
    assert largest.nbytes <= len(logits) * 8 < logits.nbytes


@pytest.mark.parametrize("one_vs_all", [False, True])
def test_no_tensor_of_a_part_outlives_it(one_vs_all, monkeypatch):
    """Small ones among large ones that go would keep a CPU's memory in pieces, twice that of all logits."""
    logits, targets = drawn(5, 200, 7), torch.arange(200) % 7
    monkeypatch.setattr(module, "_ENTRIES", 2 * 7)  # 100 parts
    with KeptTensors() as kept:
        fit_temperature(logits, targets, one_vs_all)
        negative_log_likelihood(logits, targets, 1.5, one_vs_all)
    assert kept.most < 20

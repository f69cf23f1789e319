"""What every loss promises."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning import losses
from lt_lightning.losses import (
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    CrossEntropyLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    LORTLoss,
    Loss,
)

Factory = Callable[[list[int]], Loss]

SOFTMAX: dict[str, Factory] = {
    "ce": CrossEntropyLoss,
    "ce_smooth": partial(CrossEntropyLoss, label_smoothing=0.1),
    "balanced_softmax": BalancedSoftmaxLoss,
    "logit_adjusted": partial(LogitAdjustedLoss, tau=1.5),
    "cb_softmax": ClassBalancedLoss,
    "cb_softmax_bce": partial(ClassBalancedLoss, kind="softmax_bce"),
    "lort": LORTLoss,
    "ldam": LDAMLoss,
}
ALL: dict[str, Factory] = SOFTMAX | {
    "cb_sigmoid": partial(ClassBalancedLoss, kind="sigmoid"),
    "cb_focal": partial(ClassBalancedLoss, kind="focal"),
    "cb_focal_below_1": partial(ClassBalancedLoss, kind="focal", gamma=0.5),
}
every = pytest.mark.parametrize("make", ALL.values(), ids=ALL)
every_softmax = pytest.mark.parametrize("make", SOFTMAX.values(), ids=SOFTMAX)
COUNTS = [500, 120, 33, 7, 1]


def batch(n: int = 6, k: int = 5, seed: int = 0, scale: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, k, generator=generator, dtype=torch.float64)
    return logits, torch.randint(k, (n,), generator=generator)


def value_and_gradient(loss: Loss, logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = logits.detach().clone().requires_grad_()
    value = loss(leaf, targets)
    value.backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad


def test_every_public_loss_is_here() -> None:
    here = {type(make(COUNTS)) for make in ALL.values()}
    assert {getattr(losses, name) for name in losses.__all__} == here | {Loss}


@every
def test_gradients(make: Factory) -> None:
    logits, targets = batch(scale=0.5)
    assert torch.autograd.gradcheck(lambda z: make(COUNTS)(z, targets), logits.requires_grad_())


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_finite_at_extreme_logits(make: Factory, dtype: torch.dtype) -> None:
    logits = 1e4 * torch.tensor([[1, -1, 0, 0, 0], [-1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]], dtype=dtype)
    for targets in (torch.tensor([0, 0, 0, 0]), torch.tensor([1, 1, 2, 4])):
        value, gradient = value_and_gradient(make(COUNTS), logits, targets)
        assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert bool(value.isfinite())
        assert bool(gradient.isfinite().all())


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised(make: Factory, dtype: torch.dtype) -> None:
    logits, targets = batch()
    logits = logits.to(dtype)
    assert torch.equal(make(COUNTS)(logits, targets), make(COUNTS)(logits.float(), targets))


@every
def test_autocast_changes_nothing(make: Factory) -> None:
    logits, targets = batch()
    logits = logits.float()
    expected = make(COUNTS)(logits, targets)
    with torch.autocast("cpu", torch.bfloat16):
        found = make(COUNTS)(logits, targets)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@every
@pytest.mark.parametrize(("n", "k"), [(1, 5), (1, 2), (4, 2), (3, 8142)])
def test_shapes(make: Factory, n: int, k: int) -> None:
    logits, targets = batch(n, k, scale=0.01)
    loss = make([1 + (17 * c) % 1000 for c in range(k)])
    value, gradient = value_and_gradient(loss, logits.float(), targets)
    assert value.shape == ()
    assert gradient.shape == (n, k)
    assert bool(value.isfinite())
    assert bool(gradient.isfinite().all())
    assert bool((gradient.gather(1, targets.unsqueeze(1)) < 0).all())  # each target logit is to rise


@every
def test_counts_of_one(make: Factory) -> None:
    logits, targets = batch()
    value, gradient = value_and_gradient(make([1] * 5), logits, targets)
    assert bool(value.isfinite())
    assert bool(gradient.isfinite().all())


@every
def test_nothing_waits_for_the_host(make: Factory) -> None:
    # A tensor on the meta device has no values: anything that read one would raise.
    loss = make(COUNTS).to("meta")
    value = loss(torch.empty(6, 5, device="meta", requires_grad=True), torch.zeros(6, dtype=torch.int64, device="meta"))
    assert value.device.type == "meta"


@every
def test_order_of_samples_does_not_matter(make: Factory) -> None:
    logits, targets = batch()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(make(COUNTS)(logits[order], targets[order]), make(COUNTS)(logits, targets))


@every
def test_loss_rises_when_the_target_logit_falls(make: Factory) -> None:
    logits, targets = batch(scale=0.1)
    lowered = logits.scatter_add(1, targets.unsqueeze(1), torch.full((6, 1), -1.0, dtype=torch.float64))
    assert make(COUNTS)(lowered, targets) > make(COUNTS)(logits, targets)


@every_softmax
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), shift=st.floats(-50, 50))
def test_a_common_shift_changes_nothing(make: Factory, seed: int, shift: float) -> None:
    logits, targets = batch(seed=seed)
    loss = make(COUNTS)
    shifts = shift * torch.rand(6, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(loss(logits + shifts, targets), loss(logits, targets), rtol=1e-9, atol=1e-9)


@every_softmax
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_gradients_sum_to_zero_over_classes(make: Factory, seed: int) -> None:
    logits, targets = batch(seed=seed)
    _, gradient = value_and_gradient(make(COUNTS), logits, targets)
    torch.testing.assert_close(gradient.sum(1), torch.zeros(6, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", sorted(ALL.keys() - {"lort"}))
def test_deferred_weights_work_with_each(name: str) -> None:
    logits, targets = batch()
    loss = ALL[name](COUNTS)
    loss.set_weight([0.1, 0.2, 0.5, 1.2, 3.0])
    weighted = loss(logits, targets)
    assert loss.rebalances
    loss.set_weight(None)
    assert not torch.isclose(weighted, loss(logits, targets))


@pytest.mark.parametrize("name", sorted(ALL.keys() - {"lort", "ce_smooth"}))
def test_no_sample_of_positive_weight_gives_zero(name: str) -> None:
    loss = ALL[name](COUNTS)
    loss.set_weight([0.0, 0.0, 0.0, 0.0, 1.0])
    logits, _ = batch()
    value, gradient = value_and_gradient(loss, logits, torch.zeros(6, dtype=torch.int64))
    assert value.item() == 0.0
    assert torch.equal(gradient, torch.zeros(6, 5, dtype=torch.float64))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (CrossEntropyLoss, False),
        (partial(CrossEntropyLoss, weight=[1.0, 2.0, 3.0, 4.0, 5.0]), True),
        (BalancedSoftmaxLoss, True),
        (LogitAdjustedLoss, True),
        (partial(LogitAdjustedLoss, tau=0.0), False),
        (partial(LogitAdjustedLoss, tau=0.0, weight=[1.0, 2.0, 3.0, 4.0, 5.0]), True),
        (ClassBalancedLoss, True),
        (partial(ClassBalancedLoss, beta=0.0), False),
        (LORTLoss, False),
        (LDAMLoss, False),
    ],
)
def test_rebalances_is_truthful(make: Factory, expected: bool) -> None:
    assert make(COUNTS).rebalances is expected


@every
def test_probabilities(make: Factory) -> None:
    logits, _ = batch()
    loss = make(COUNTS)
    found = loss.probabilities(logits)
    if isinstance(loss, ClassBalancedLoss) and loss.kind in ("sigmoid", "focal"):
        torch.testing.assert_close(found, torch.sigmoid(logits))
    else:
        torch.testing.assert_close(found, torch.softmax(loss.logit_scale * logits, 1))

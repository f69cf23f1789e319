"""What every loss promises."""

from collections.abc import Callable
from functools import partial
from math import inf, nan

import pytest
import torch
from float_arguments import float_arguments
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning import losses
from lt_lightning.errors import UsageError
from lt_lightning.losses import (
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    CrossEntropyLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    LORTLoss,
    Loss,
    MarginLoss,
    OneVsAllLoss,
)

Factory = Callable[..., Loss]

SOFTMAX: dict[str, Factory] = {
    "ce": CrossEntropyLoss,
    "ce_smooth": partial(CrossEntropyLoss, label_smoothing=0.1),
    "balanced_softmax": BalancedSoftmaxLoss,
    "logit_adjusted": partial(LogitAdjustedLoss, tau=1.5),
    "cb_softmax": ClassBalancedLoss,
    "cb_softmax_bce": partial(ClassBalancedLoss, kind="softmax_bce"),
    "lort": LORTLoss,
    "ldam": LDAMLoss,
    "elm": losses.ELMLoss,
    "elm_without_target_margin": partial(losses.ELMLoss, target_margin=False),
    "mm_ldam": losses.MaximumMarginLDAMLoss,
    "lmsce": losses.LargeMarginSoftmaxLoss,
    "focal": losses.FocalLoss,
    "focal_below_1": partial(losses.FocalLoss, gamma=0.5),
    "ib": partial(losses.InfluenceBalancedLoss, alpha=1.0),
    "ib_focal": partial(losses.InfluenceBalancedLoss, alpha=1.0, gamma=0.5),
    "vs_without_factors": partial(losses.VectorScalingLoss, gamma=0.0),
    "las": losses.LabelAwareSmoothingLoss,
    "hs_sr": losses.HardSelectionSoftmaxLoss,
    "hs_sr_half": partial(losses.HardSelectionSoftmaxLoss, m=50.0),
    "grw": losses.GeneralizedReweightLoss,
    "seesaw": losses.SeesawLoss,
    "seesaw_without_floor": partial(losses.SeesawLoss, floor=0.0),
}
ALL: dict[str, Factory] = SOFTMAX | {
    "vs": losses.VectorScalingLoss,  # a class's factor scales a common shift, too
    "ib_1000": losses.InfluenceBalancedLoss,
    "lr": losses.LogisticLoss,
    "hs_lr": losses.HardSelectionLogisticLoss,
    "hs_lr_half": partial(losses.HardSelectionLogisticLoss, m=50.0),
    "ss_lr": losses.SoftSelectionLogisticLoss,
    "ss_lr_50": partial(losses.SoftSelectionLogisticLoss, r=50.0),
    "lgl_inr": losses.LGLINRLoss,
    "eql_v2": losses.EqualizationLossV2,
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


def run(loss: Loss, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The loss with features of a fixed L1 norm beside the logits, for those that look at them."""
    return loss(logits, targets, torch.full_like(logits[:, :2], 0.25, requires_grad=False))


def value_and_gradient(loss: Loss, logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = logits.detach().clone().requires_grad_()
    value = run(loss, leaf, targets)
    value.backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad


KINDS = sorted({type(make(COUNTS)) for make in ALL.values()}, key=str)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in float_arguments(kind)])
@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_number_that_is_none_is_refused_by_its_name(kind: Factory, name: str, value: float) -> None:
    with pytest.raises(UsageError, match=rf"^`{name}` must .*, but got {value}\.$"):
        kind(COUNTS, **{name: value})


def test_every_public_loss_is_here() -> None:
    here = {type(make(COUNTS)) for make in ALL.values()}
    assert {getattr(losses, name) for name in losses.__all__} == here | {Loss, MarginLoss, OneVsAllLoss}


# Their margins and factors depend on the logits but are no part of the graph.
DETACHED = {"mm_ldam", "seesaw", "seesaw_without_floor"}


@pytest.mark.parametrize("name", sorted(ALL.keys() - DETACHED))
def test_gradients(name: str) -> None:
    logits, targets = batch(scale=0.5)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: run(ALL[name](COUNTS), z, targets), logits, fast_mode=True)


ONCE = {"lmsce", "lr", "hs_lr", "hs_lr_half", "hs_sr", "hs_sr_half", "ss_lr", "ss_lr_50", "lgl_inr", "eql_v2"} | {
    name for name in ALL if name.startswith("cb_") and name != "cb_softmax"
}


@pytest.mark.parametrize("name", sorted(ALL.keys() - ONCE - DETACHED))
def test_second_derivatives(name: str) -> None:
    logits, targets = batch(scale=0.5)
    step = 1e-5 * torch.linspace(-1, 1, 30, dtype=torch.float64).view(6, 5)
    leaf = logits.clone().requires_grad_()
    (first,) = torch.autograd.grad(run(ALL[name](COUNTS), leaf, targets), leaf, create_graph=True)
    (found,) = torch.autograd.grad(first, leaf, step)
    above, below = (value_and_gradient(ALL[name](COUNTS), z, targets)[1] for z in (logits + step, logits - step))
    torch.testing.assert_close(found, (above - below) / 2, rtol=1e-6, atol=1e-13)


@pytest.mark.parametrize("name", sorted(ONCE))
def test_no_graph_is_made_of_a_gradient_written_by_hand(name: str) -> None:
    logits, targets = batch()
    refusal = "^`create_graph=True` .* this loss is differentiable once only; leave it out, or write the loss in"
    with pytest.raises(UsageError, match=refusal):
        run(ALL[name](COUNTS), logits.requires_grad_(), targets).backward(create_graph=True)
    with pytest.raises(UsageError, match=refusal):
        torch.autograd.functional.hessian(lambda z: run(ALL[name](COUNTS), z, targets), logits)


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
    assert torch.equal(run(make(COUNTS), logits, targets), run(make(COUNTS), logits.float(), targets))


@every
def test_autocast_changes_nothing(make: Factory) -> None:
    logits, targets = batch()
    logits = logits.float()
    expected = run(make(COUNTS), logits, targets)
    with torch.autocast("cpu", torch.bfloat16):
        found = run(make(COUNTS), logits, targets)
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
def test_a_wrong_batch_is_refused_and_never_broadcast(make: Factory) -> None:
    logits, targets = batch()
    for wrong in (logits[:, [0, 1, 2, 3, 4, 4]], logits[:, :4], logits.unsqueeze(2), logits[0]):
        with pytest.raises(UsageError, match=r"^`logits` must have shape \(N, 5\), but got \("):
            make(COUNTS)(wrong, targets, torch.ones(6, 2))
    for wrong in (targets[:1], targets[:3], targets.unsqueeze(1), targets.double(), targets.int(), targets[0]):
        with pytest.raises(UsageError, match=r"^`targets` must hold the class of each of 6 samples, \(6,\) and int64"):
            make(COUNTS)(logits, wrong, torch.ones(6, 2))


def test_compiles_without_a_break() -> None:
    logits, targets = batch()
    compiled = torch.compile(losses.LDAMLoss(COUNTS), fullgraph=True, backend="eager")
    torch.testing.assert_close(run(compiled, logits, targets), run(losses.LDAMLoss(COUNTS), logits, targets))


@every
def test_counts_of_one(make: Factory) -> None:
    logits, targets = batch()
    value, gradient = value_and_gradient(make([1] * 5), logits, targets)
    assert bool(value.isfinite())
    assert bool(gradient.isfinite().all())


@every
@pytest.mark.parametrize("target", [-100, -1, 128])
def test_no_target_is_left_out(make: Factory, target: int) -> None:
    """Also -100, which torch's cross entropy skips without a word, and which as an index into 128 classes is one."""
    logits, targets = batch(k=128)
    targets[3] = target
    with pytest.raises((IndexError, RuntimeError), match=r"out of (bounds|range)"):
        run(make([7] * 128), logits, targets)


@every
@pytest.mark.parametrize("n", [6, 5])  # with as many samples as classes some would broadcast
def test_several_classes_and_shares_of_them_are_taken_or_refused(make: Factory, n: int) -> None:
    logits, targets = batch(n)
    loss = make(COUNTS)
    one_hot = torch.nn.functional.one_hot(targets, 5)
    assert loss.takes_several_classes == type(loss).__name__.endswith("LogisticLoss")
    if loss.takes_several_classes:
        torch.testing.assert_close(run(loss, logits, one_hot), run(loss, logits, targets))
        wrong = [torch.softmax(logits, dim=1)]
    else:
        wrong = [one_hot, one_hot.double(), torch.softmax(logits, dim=1), one_hot[:, :4]]
    for several in wrong:
        with pytest.raises(
            UsageError, match=r"^`targets` (of several classes )?must hold (one class of|0 and 1 alone)"
        ):
            run(loss, logits, several)


@every
def test_nothing_waits_for_the_host(make: Factory) -> None:
    # A tensor on the meta device has no values: anything that read one would raise.
    loss = make(COUNTS).to("meta")
    logits = torch.empty(6, 5, device="meta", requires_grad=True)
    value = run(loss, logits, torch.zeros(6, dtype=torch.int64, device="meta"))
    value.backward()
    assert value.device.type == logits.grad.device.type == "meta"


@every
def test_order_of_samples_does_not_matter(make: Factory) -> None:
    logits, targets = batch()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(run(make(COUNTS), logits[order], targets[order]), run(make(COUNTS), logits, targets))


@every
def test_loss_rises_when_the_target_logit_falls(make: Factory) -> None:
    logits, targets = batch(scale=0.1)
    lowered = logits.scatter_add(1, targets.unsqueeze(1), torch.full((6, 1), -1.0, dtype=torch.float64))
    assert run(make(COUNTS), lowered, targets) > run(make(COUNTS), logits, targets)


@every_softmax
@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), shift=st.floats(-50, 50))
def test_a_common_shift_changes_nothing(make: Factory, seed: int, shift: float) -> None:
    logits, targets = batch(seed=seed)
    loss = make(COUNTS)
    shifts = shift * torch.rand(6, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(run(loss, logits + shifts, targets), run(loss, logits, targets), rtol=1e-9, atol=1e-9)


@every_softmax
@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_gradients_sum_to_zero_over_classes(make: Factory, seed: int) -> None:
    logits, targets = batch(seed=seed)
    _, gradient = value_and_gradient(make(COUNTS), logits, targets)
    torch.testing.assert_close(gradient.sum(1), torch.zeros(6, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", sorted(ALL.keys() - {"lort", "lgl_inr"}))
def test_deferred_weights_work_with_each(name: str) -> None:
    logits, targets = batch()
    loss = ALL[name](COUNTS)
    loss.set_weight([0.1, 0.2, 0.5, 1.2, 3.0])
    weighted = run(loss, logits, targets)
    assert loss.rebalances
    loss.set_weight(None)
    assert not torch.isclose(weighted, run(loss, logits, targets))


@pytest.mark.parametrize("name", sorted(ALL.keys() - {"lort", "ce_smooth", "lgl_inr", "lmsce"}))
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
        (losses.ELMLoss, False),
        (losses.MaximumMarginLDAMLoss, False),
        (partial(losses.ELMLoss, weight=[1.0, 2.0, 3.0, 4.0, 5.0]), True),
        (losses.LargeMarginSoftmaxLoss, False),
        (losses.FocalLoss, False),
        (losses.InfluenceBalancedLoss, False),
        (partial(losses.InfluenceBalancedLoss, weight=[1.0, 2.0, 3.0, 4.0, 5.0]), True),
        (losses.VectorScalingLoss, True),
        (partial(losses.VectorScalingLoss, gamma=0.0), True),
        (partial(losses.VectorScalingLoss, tau=0.0), True),
        (partial(losses.VectorScalingLoss, gamma=0.0, tau=0.0), False),
        (losses.SeesawLoss, True),
        (partial(losses.SeesawLoss, p=0.0), False),
        (losses.LabelAwareSmoothingLoss, False),
        (losses.GeneralizedReweightLoss, True),
        (partial(losses.GeneralizedReweightLoss, rho=0.0), False),
        (losses.LogisticLoss, False),
        (losses.HardSelectionLogisticLoss, False),
        (losses.SoftSelectionLogisticLoss, False),
        (losses.HardSelectionSoftmaxLoss, False),
        (losses.LGLINRLoss, True),
        (losses.EqualizationLossV2, True),
    ],
)
def test_rebalances_is_truthful(make: Factory, expected: bool) -> None:
    assert make(COUNTS).rebalances is expected


REDUCED = sorted(ALL.keys() - {"lgl_inr", "eql_v2"})  # sums over classes, and a state: their own tests


@pytest.mark.parametrize("name", REDUCED)
def test_mean_and_sum_follow_from_the_losses_of_the_samples(name: str) -> None:
    logits, targets = batch()
    each, total, mean = (run(ALL[name](COUNTS, reduction=r), logits, targets) for r in ("none", "sum", "mean"))
    assert each.shape == (6,)
    torch.testing.assert_close(each.sum(), total, rtol=1e-12, atol=0)
    if ALL[name](COUNTS).weight is None:
        torch.testing.assert_close(each.mean(), mean, rtol=1e-12, atol=0)
    for i in range(6):
        alone = run(ALL[name](COUNTS, reduction="sum"), logits[i : i + 1], targets[i : i + 1])
        torch.testing.assert_close(each[i], alone, rtol=1e-12, atol=0)


@every
def test_probabilities(make: Factory) -> None:
    logits, _ = batch()
    loss = make(COUNTS)
    found = loss.probabilities(logits)
    if isinstance(loss, OneVsAllLoss) or (isinstance(loss, ClassBalancedLoss) and loss.kind in ("sigmoid", "focal")):
        torch.testing.assert_close(found, torch.sigmoid(logits))
    else:
        torch.testing.assert_close(found, torch.softmax(loss.logit_scale * logits, 1))

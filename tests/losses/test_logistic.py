from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from lt_lightning import losses
from lt_lightning.errors import UsageError
from lt_lightning.losses import HardSelectionLogisticLoss, LogisticLoss, SoftSelectionLogisticLoss

COUNTS = [500, 30, 4, 1]
NAMES = ["LogisticLoss", "HardSelectionLogisticLoss", "SoftSelectionLogisticLoss"]
every = pytest.mark.parametrize("name", NAMES)


def batch(n: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.randn(n, 4, generator=generator, dtype=torch.float64), torch.randint(4, (n,), generator=generator)


@every
def test_reference_numbers(assert_golden: Callable[[str], None], name: str) -> None:
    assert_golden(name)


@every
def test_reductions_and_weights(name: str) -> None:
    logits, targets = batch()
    make = getattr(losses, name)
    each = make(COUNTS, reduction="none")(logits, targets)
    assert each.shape == (6,)
    torch.testing.assert_close(make(COUNTS)(logits, targets), each.mean())
    torch.testing.assert_close(make(COUNTS, reduction="sum")(logits, targets), each.sum())
    weight = [0.1, 0.5, 1.0, 2.0]
    of_samples = torch.tensor(weight, dtype=torch.float64)[targets]
    expected = (of_samples * each).sum() / of_samples.sum()
    torch.testing.assert_close(make(COUNTS, weight=weight)(logits, targets), expected)
    found = make(COUNTS, weight=weight, reduction="none")(logits, targets)
    torch.testing.assert_close(found, of_samples * each)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.int64])
def test_several_classes_per_sample(name: str, dtype: torch.dtype) -> None:
    logits, targets = batch()
    loss = getattr(losses, name)(COUNTS)
    torch.testing.assert_close(loss(logits, F.one_hot(targets, 4).to(dtype)), loss(logits, targets))
    labels = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]] * 2).to(dtype)
    leaf = logits.requires_grad_()
    value = loss(leaf, labels)
    value.backward()
    assert bool(value.isfinite())
    assert leaf.grad is not None
    assert torch.equal(leaf.grad < 0, labels.bool())


def test_several_classes_equal_torch() -> None:
    logits, _ = batch()
    labels = torch.randint(2, (6, 4), generator=torch.Generator().manual_seed(1)).double()
    expected = F.binary_cross_entropy_with_logits(logits, labels, reduction="none").sum(1).mean()
    torch.testing.assert_close(LogisticLoss(COUNTS)(logits, labels), expected)


@every
def test_several_classes_refuse_weights_and_other_shapes(name: str) -> None:
    logits, _ = batch()
    make = getattr(losses, name)
    with pytest.raises(UsageError, match=r"`weight` belongs to a sample's one class.*several classes per sample"):
        make(COUNTS, weight=[1.0, 1.0, 2.0, 2.0])(logits, torch.zeros(6, 4))
    with pytest.raises(UsageError, match=r"`targets` of several classes.*\(6, 4\), but got \(6, 3\)"):
        make(COUNTS)(logits, torch.zeros(6, 3))


@every
@pytest.mark.parametrize("value", [0.3, 2.0, -1.0, float("nan")])
def test_several_classes_refuse_shares_of_a_class(name: str, value: float) -> None:
    logits, targets = batch()
    labels = F.one_hot(targets, 4).double()
    labels[2, 1] = value
    with pytest.raises(UsageError, match=rf"`targets` of several classes must hold 0 and 1 alone, but got {value:g};"):
        getattr(losses, name)(COUNTS)(logits, labels)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_several_classes_at_extreme_logits(name: str, dtype: torch.dtype) -> None:
    logits = (1e4 * torch.tensor([[1, -1, 0, 1], [-1, 1, -1, 0]])).to(dtype).requires_grad_()
    value = getattr(losses, name)(COUNTS)(logits, torch.tensor([[0, 1, 1, 0], [1, 1, 0, 0]]))
    value.backward()
    assert value.dtype == torch.float32
    assert bool(value.isfinite())
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


@every
def test_several_classes_wait_for_no_host(name: str) -> None:
    loss = getattr(losses, name)(COUNTS).to("meta")
    value = loss(torch.empty(6, 4, device="meta", requires_grad=True), torch.zeros(6, 4, device="meta"))
    assert value.device.type == "meta"


def test_no_percentage_leaves_the_hardest_negative_and_all_of_it_all_of_them() -> None:
    logits, targets = batch()
    own = F.softplus(-logits.gather(1, targets.unsqueeze(1))).squeeze(1)
    negatives = F.softplus(logits).scatter(1, targets.unsqueeze(1), 0.0)
    for m, expected in ((0.0, own + negatives.amax(dim=1)), (100.0, own + negatives.sum(dim=1))):
        found = HardSelectionLogisticLoss(COUNTS, m=m, alpha=1.0, reduction="none")(logits, targets)
        torch.testing.assert_close(found, expected)


def test_alpha_overrides_beta() -> None:
    logits, targets = batch()
    # One of three negatives at m = 25, all three for soft selection.
    torch.testing.assert_close(
        HardSelectionLogisticLoss(COUNTS, alpha=3.0)(logits, targets),
        HardSelectionLogisticLoss(COUNTS, beta=3.0)(logits, targets),
    )
    torch.testing.assert_close(
        SoftSelectionLogisticLoss(COUNTS, alpha=2.0)(logits, targets),
        SoftSelectionLogisticLoss(COUNTS, beta=6.0)(logits, targets),
    )


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("HardSelectionLogisticLoss", {"m": 101.0}, r"`m` must lie in \[0, 100\], but got 101\.0"),
        ("HardSelectionLogisticLoss", {"m": -1.0}, r"`m` must lie in \[0, 100\], but got -1\.0"),
        ("HardSelectionLogisticLoss", {"beta": -1.0}, r"`beta` must be at least 0, but got -1\.0"),
        ("HardSelectionLogisticLoss", {"alpha": -0.5}, r"`alpha` must be at least 0, but got -0\.5"),
        ("SoftSelectionLogisticLoss", {"r": -2.0}, r"`r` must be at least 0, but got -2\.0"),
        ("SoftSelectionLogisticLoss", {"alpha": -0.5}, r"`alpha` must be at least 0, but got -0\.5"),
    ],
)
def test_bad_arguments_are_refused(name: str, arguments: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        getattr(losses, name)(COUNTS, **arguments)

from collections.abc import Callable
from io import BytesIO

import pytest
import torch
from torch.nn import functional as F

from lt_lightning.errors import UsageError
from lt_lightning.losses import EqualizationLossV2

COUNTS = [500, 30, 4]
STATE = ("positive_gradients", "negative_gradients")


def batch(seed: int, n: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(n, 3, generator=generator, dtype=torch.float64), torch.randint(3, (n,), generator=generator)


def state(loss: EqualizationLossV2) -> list[torch.Tensor]:
    return [getattr(loss, name).clone() for name in STATE]


def trained(steps: int = 3) -> EqualizationLossV2:
    loss = EqualizationLossV2(COUNTS)
    for seed in range(steps):
        loss(*batch(seed))
    return loss


def test_reference_numbers(assert_golden: Callable[[str], None]) -> None:
    assert_golden("EqualizationLossV2")


def test_first_batch_is_binary_cross_entropy() -> None:
    logits, targets = batch(0)
    expected = F.binary_cross_entropy_with_logits(logits, F.one_hot(targets, 3).double(), reduction="sum") / 6
    torch.testing.assert_close(EqualizationLossV2(COUNTS)(logits, targets), expected, rtol=1e-9, atol=0)


def test_state_survives_a_checkpoint_to_the_bit() -> None:
    loss = trained()
    file = BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    restored = EqualizationLossV2(COUNTS)
    restored.load_state_dict(torch.load(file, weights_only=True))
    for own, other in zip(state(restored), state(loss), strict=True):
        assert own.dtype == torch.float64
        assert torch.equal(own, other)
    assert torch.equal(restored(*batch(9)), loss(*batch(9)))
    assert sorted(loss.state_dict()) == sorted(STATE)


def test_state_keeps_its_precision_through_bf16_true() -> None:
    loss = trained()
    before = state(loss)
    loss.to(torch.bfloat16)
    assert all(torch.equal(own, other) for own, other in zip(state(loss), before, strict=True))


def test_evaluation_leaves_the_state_alone() -> None:
    loss = trained()
    before = state(loss)
    loss.eval()
    loss(*batch(5))
    loss.train()
    with torch.no_grad():
        loss(*batch(5))
    assert all(torch.equal(own, other) for own, other in zip(state(loss), before, strict=True))
    loss(*batch(5))
    assert not any(torch.equal(own, other) for own, other in zip(state(loss), before, strict=True))


def test_sums_do_not_stop_growing() -> None:
    # In fp32, 1e9 + 0.1 is 1e9.
    loss = EqualizationLossV2(COUNTS)
    loss.positive_gradients += 1e9
    loss(*(part.float() if part.is_floating_point() else part for part in batch(0, 100)))
    assert bool((loss.positive_gradients > 1e9).all())


def test_class_weights_weigh_samples_and_leave_the_state_alone() -> None:
    weight = [0.2, 1.0, 3.0]
    plain, weighted = EqualizationLossV2(COUNTS, reduction="none"), EqualizationLossV2(COUNTS, weight=weight)
    for seed in range(3):
        logits, targets = batch(seed)
        of_samples = torch.tensor(weight, dtype=torch.float64)[targets]
        expected = (of_samples * plain(logits, targets)).sum() / of_samples.sum()
        torch.testing.assert_close(weighted(logits, targets), expected)
    assert all(torch.equal(own, other) for own, other in zip(state(weighted), state(plain), strict=True))


def test_a_batch_in_two_parts_gives_the_same_state() -> None:
    # Only from the same weights: those of the second part follow the first.
    logits, targets = batch(0)
    whole, parts = EqualizationLossV2(COUNTS, gamma=1e-12), EqualizationLossV2(COUNTS, gamma=1e-12)
    whole(logits, targets)
    parts(logits[:2], targets[:2])
    parts(logits[2:], targets[2:])
    for own, other in zip(state(parts), state(whole), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gamma": 0.0}, r"`gamma` must be above 0, but got 0\.0"),
        ({"mu": float("nan")}, r"`mu` must be a finite number, but got nan"),
        ({"alpha": -1.0}, r"`alpha` must be at least 0, but got -1\.0"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        EqualizationLossV2(COUNTS, **arguments)

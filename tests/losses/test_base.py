from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.losses import CrossEntropyLoss, LDAMLoss, Loss


class Shortest(Loss):
    def forward(self, logits: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:
        return logits.sum()


@pytest.mark.parametrize("counts", [[], [3, 0], [-1]])
def test_counts_below_one_are_refused(counts: list[int]) -> None:
    with pytest.raises(UsageError, match=r"`class_counts` must hold at least 1 for each class, but got \["):
        Shortest(counts)


@pytest.mark.parametrize(
    "weight",
    [[1.0], [1.0, 1.0, 1.0], [1.0, -1.0], [1.0, float("nan")], [1.0, float("inf")], [[1.0, 1.0]], [[1.0], [1.0]]],
)
def test_bad_weights_are_refused(weight: list[float]) -> None:
    with pytest.raises(UsageError, match=r"^`weight` must hold 2 finite .* per class, for `Shortest`, but got"):
        Shortest([5, 3], weight)


@pytest.mark.parametrize("weight", ["abc", ["a", "b"], [[1.0], [1.0, 2.0]], [1.0, None], {0: 1.0}, object()])
def test_weights_that_are_no_numbers_are_refused(weight: Any) -> None:
    with pytest.raises(UsageError, match=r"^`weight` must hold 2 .* per class, for `Shortest`, but got [^\n]+\.$"):
        Shortest([5, 3], weight)


def test_of_many_bad_weights_the_first_are_named() -> None:
    loss = Shortest([5] * 8142)
    with pytest.raises(UsageError, match=r"got 8142 numbers, among them -1\.0 for class 8141 of shape \(8142,\)\.$"):
        loss.set_weight([1.0] * 8141 + [-1.0])
    with pytest.raises(UsageError, match=r"must hold 8142 .* but got 8141 numbers of shape \(8141,\)\.$"):
        loss.set_weight([1.0] * 8141)


def test_weights_can_be_set_and_cleared() -> None:
    loss = CrossEntropyLoss([5, 3])
    logits, targets = torch.tensor([[0.0, 2.0], [0.0, 1.0]]), torch.tensor([0, 1])
    plain = loss(logits, targets)
    assert not loss.rebalances
    loss.set_weight([1.0, 0.0])
    assert loss.rebalances
    torch.testing.assert_close(loss(logits, targets), CrossEntropyLoss([5, 3])(logits[:1], targets[:1]))
    loss.set_weight(None)
    assert not loss.rebalances
    assert torch.equal(loss(logits, targets), plain)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_leave_the_precision_of_the_losses_alone(dtype: torch.dtype) -> None:
    # Weights are kept in fp64, in which a backward pass would cost more.
    losses = torch.tensor([1.0, 2.0], dtype=dtype)
    found = Shortest([5, 3], weight=[1.0, 3.0]).reduce(losses, torch.tensor([0, 1]))
    assert found.dtype == dtype
    assert found.item() == pytest.approx(7 / 4)


@pytest.mark.parametrize("over", ["weights", "samples"])
def test_a_weighted_mean_is_over_weights_or_samples(over: Literal["weights", "samples"]) -> None:
    losses, targets = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 1, 1])
    weighted = {"weight": [1.0, 3.0]}
    total = 1 + 6 + 12
    assert Shortest([5, 3], **weighted).reduce(losses, targets, over) == total / (7 if over == "weights" else 3)
    assert Shortest([5, 3], **weighted, reduction="sum").reduce(losses, targets, over) == total
    assert Shortest([5, 3], **weighted, reduction="none").reduce(losses, targets, over).tolist() == [1, 6, 12]
    assert Shortest([5, 3]).reduce(losses, targets, over) == 7 / 3


def test_weights_set_late_go_to_the_device_of_the_loss() -> None:
    loss = CrossEntropyLoss([5, 3]).to("meta")
    loss.set_weight([1.0, 2.0])
    assert loss.weight is not None
    assert loss.weight.device.type == "meta"


@pytest.mark.parametrize("cast", [torch.nn.Module.half, torch.nn.Module.bfloat16, torch.nn.Module.float])
def test_constants_keep_their_precision(cast: object) -> None:
    loss = LDAMLoss([4999, 3], weight=[0.1, 0.7])
    before = [buffer.clone() for buffer in loss.buffers()]
    cast(loss)  # type: ignore[operator]
    after = list(loss.buffers())
    assert len(after) == 3
    for old, new in zip(before, after, strict=True):
        assert new.dtype == torch.float64
        assert torch.equal(old, new)


def test_constants_are_not_in_the_checkpoint() -> None:
    assert LDAMLoss([4999, 3], weight=[0.1, 0.7]).state_dict() == {}


def test_probabilities_use_the_scale_of_the_loss_and_keep_fp64() -> None:
    logits = torch.tensor([[0.1, 0.2]], dtype=torch.float64)
    found = LDAMLoss([5, 3], scale=10.0).probabilities(logits)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, torch.softmax(10 * logits, 1))
    assert Shortest([5, 3]).probabilities(logits.half()).dtype == torch.float32


def test_printed_it_says_what_it_was_made_with() -> None:
    assert repr(CrossEntropyLoss([5, 3], label_smoothing=0.1)) == (
        "CrossEntropyLoss(num_classes=2, label_smoothing=0.1, reduction='mean')"
    )


def test_a_loss_of_ones_own_says_that_it_takes_several_classes() -> None:
    class Several(Shortest):
        takes_several_classes = True

    batch = torch.ones(4, 2), torch.ones(4, 2)
    with pytest.raises(UsageError, match=r"\(a loss of your own sets `takes_several_classes = True`\)\.$"):
        Shortest([5, 3])(*batch)
    assert Several([5, 3])(*batch) == 8

import pytest
import torch
from torch.nn import functional as F

from lt_lightning.errors import UsageError
from lt_lightning.losses import CrossEntropyLoss

LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0], [2.0, 2.0, 2.0]], dtype=torch.float64)
TARGETS = torch.tensor([0, 2, 1])
WEIGHT = [0.5, 1.0, 3.0]


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.98])
def test_equals_torch(weight: list[float] | None, label_smoothing: float) -> None:
    reference = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    expected = F.cross_entropy(LOGITS, TARGETS, reference, label_smoothing=label_smoothing)
    found = CrossEntropyLoss([9, 5, 2], weight, label_smoothing)(LOGITS, TARGETS)
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=0)


def test_equal_weights_change_nothing() -> None:
    found = CrossEntropyLoss([9, 5, 2], [7.0] * 3)(LOGITS, TARGETS)
    torch.testing.assert_close(found, F.cross_entropy(LOGITS, TARGETS), rtol=1e-14, atol=0)


def test_labels_that_mix_classes_are_refused() -> None:
    with pytest.raises(
        UsageError, match=r"`targets` must hold one class of each sample, \(N,\), but got shape \(3, 3\)"
    ):
        CrossEntropyLoss([9, 5, 2])(LOGITS, LOGITS.softmax(1))


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_smoothing_out_of_range_is_refused(value: float) -> None:
    with pytest.raises(UsageError, match=rf"`label_smoothing` must lie in \[0, 1\], but got {value}"):
        CrossEntropyLoss([9, 5, 2], label_smoothing=value)

import pytest
import torch
from torch.nn import functional as F

from lt_lightning.errors import UsageError
from lt_lightning.losses import HardSelectionSoftmaxLoss

COUNTS = [500, 30, 4, 1]
LOGITS = torch.tensor([[2.0, -1.0, 0.5, 0.0], [-1.0, 3.0, 1.0, 2.0]], dtype=torch.float64)
TARGETS = torch.tensor([0, 2])


def test_the_hardest_negative_is_added_to_cross_entropy() -> None:
    """A quarter of three negative classes is one class, so α is 10."""
    p = LOGITS.softmax(1)
    hardest = -10 * torch.log1p(-torch.stack((p[0, 2], p[1, 1])))
    expected = F.cross_entropy(LOGITS, TARGETS, reduction="none") + hardest
    found = HardSelectionSoftmaxLoss(COUNTS, reduction="none")(LOGITS, TARGETS)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("arguments", [{"beta": 0.0}, {"alpha": 0.0}])
def test_without_negatives_it_is_cross_entropy(arguments: dict[str, float]) -> None:
    torch.testing.assert_close(
        HardSelectionSoftmaxLoss(COUNTS, **arguments)(LOGITS, TARGETS), F.cross_entropy(LOGITS, TARGETS)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"m": 101.0}, r"`m` must lie in \[0, 100\], but got 101"),
        ({"m": float("nan")}, r"`m` must lie in \[0, 100\], but got nan"),
        ({"beta": -1.0}, r"`beta` must be at least 0, but got -1"),
        ({"alpha": -1.0}, r"`alpha` must be at least 0, but got -1"),
    ],
)
def test_values_out_of_range_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        HardSelectionSoftmaxLoss(COUNTS, **arguments)

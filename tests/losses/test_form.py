import pytest
import torch

from lt_lightning.losses import ClassBalancedLoss, CrossEntropyLoss, LDAMLoss, Loss
from lt_lightning.losses.form import form_of


class Halved(CrossEntropyLoss):
    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        return super().probabilities(logits) / 2


@pytest.mark.parametrize("counts", [[50, 7, 2], [9, 3]])
@pytest.mark.parametrize(
    ("make", "form"),
    [
        (CrossEntropyLoss, "softmax"),
        (lambda counts: LDAMLoss(counts, scale=30), "softmax"),
        (lambda counts: ClassBalancedLoss(counts, kind="sigmoid"), "sigmoid"),
        (lambda counts: ClassBalancedLoss(counts, kind="softmax_bce"), "softmax"),
        (Halved, "other"),
    ],
)
def test_the_form_is_found_by_asking(counts, make, form):
    loss: Loss = make(counts)
    assert form_of(loss) == form

import pytest
import torch

from lt_lightning.functional import fit_temperature
from lt_lightning.losses import ClassBalancedLoss, CrossEntropyLoss, LDAMLoss, Loss
from lt_lightning.losses.form import fit_temperature_of, form_of


class Sigmoids(CrossEntropyLoss):
    one_vs_all = True


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
        (Sigmoids, "sigmoid"),
        (Halved, "other"),
    ],
)
def test_the_form_is_that_of_the_probabilities(counts, make, form):
    loss: Loss = make(counts)
    assert form_of(loss) == form
    scaled = (logits := torch.eye(len(counts))) * loss.logit_scale
    wanted = {"softmax": scaled.softmax(dim=1), "sigmoid": scaled.sigmoid(), "other": scaled.softmax(dim=1) / 2}
    torch.testing.assert_close(loss.probabilities(logits), wanted[form])


def test_a_temperature_is_fitted_to_the_likelihood_that_the_probabilities_give():
    counts, targets = [200, 50, 5], torch.arange(90) % 3
    logits = torch.randn(90, 3, generator=torch.Generator().manual_seed(0)) * 3
    plain = fit_temperature_of(CrossEntropyLoss(counts), logits, targets)
    sigmoids = fit_temperature_of(ClassBalancedLoss(counts, kind="sigmoid"), logits, targets)
    assert plain == fit_temperature(logits, targets)
    assert sigmoids == fit_temperature(logits, targets, True) != plain
    scaled = fit_temperature_of(LDAMLoss(counts, scale=30.0), logits / 30, targets)
    assert scaled == pytest.approx(plain, rel=1e-4)
    assert fit_temperature_of(Halved(counts), logits, targets) is None

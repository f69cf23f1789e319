import pytest
import torch

from lt_lightning.errors import UsageError
from lt_lightning.metrics import LearningPropertyResidual
from tests.gradients import logit_gradients


def test_residuals_over_batches_and_with_decay() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(30, 4, generator=generator, dtype=torch.float64)
    targets = torch.randint(4, (30,), generator=generator)
    metric = LearningPropertyResidual(4)
    for batch in zip(logits.split(7), targets.split(7), strict=True):
        metric.update(logit_gradients(*batch))
    gradients = logit_gradients(logits, targets)
    size = gradients.abs().sum(0)
    torch.testing.assert_close(metric.compute(), -gradients.sum(0) / size)
    decay = torch.tensor([0.0, 1.0, -2.0, 3.0], dtype=torch.float64)
    torch.testing.assert_close(metric.with_decay(decay), (-gradients.sum(0) - decay) / (size + decay.abs()))


def test_gradients_of_another_shape_are_refused() -> None:
    with pytest.raises(UsageError, match=r"`gradients` must have shape \(N, 3\), but got \(5, 4\)"):
        LearningPropertyResidual(3).update(torch.zeros(5, 4))

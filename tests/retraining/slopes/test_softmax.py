"""Softmax losses with other constants in every head, in one pass."""

import torch

from lt_lightning.losses import (
    BalancedSoftmaxLoss,
    CrossEntropyLoss,
    LabelAwareSmoothingLoss,
    LDAMLoss,
    LORTLoss,
    VectorScalingLoss,
)
from lt_lightning.retraining.slopes.softmax import SoftmaxSlopes

COUNTS = [90, 40, 12, 3]


def test_every_head_has_the_slopes_of_its_own_loss():
    kinds = (CrossEntropyLoss, BalancedSoftmaxLoss, LORTLoss, LabelAwareSmoothingLoss, VectorScalingLoss)
    losses = [*(kind(COUNTS) for kind in kinds), LORTLoss(COUNTS, delta=0.5), LDAMLoss(COUNTS, scale=1.0)]
    losses += [CrossEntropyLoss(COUNTS, weight=weight) for weight in ([0.1, 0.2, 1.0, 5.0], [4.0, 3.0, 2.0, 1.0])]
    logits = torch.randn(7, len(losses), 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([0, 1, 2, 3, 3, 0, 2])
    assert len({SoftmaxSlopes.key(loss) for loss in losses}) == 1
    found, share = SoftmaxSlopes(losses, logits)(logits.clone(), targets, torch.zeros(7, 2))
    for head, loss in enumerate(losses):
        alone = logits[:, head].clone().requires_grad_()
        loss.double()(alone, targets).backward()
        torch.testing.assert_close(found[:, head] * share, alone.grad, rtol=1e-6, atol=1e-9)


def test_slopes_of_a_sample_sum_to_zero():
    losses = [CrossEntropyLoss(COUNTS), LORTLoss(COUNTS)]
    logits = torch.randn(5, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found, _ = SoftmaxSlopes(losses, logits)(logits, torch.tensor([0, 1, 2, 3, 0]), torch.zeros(5, 2))
    torch.testing.assert_close(found.sum(dim=2), torch.zeros(5, 2, dtype=torch.float64), rtol=0, atol=1e-12)


def test_samples_without_weight_move_nothing():
    losses = [CrossEntropyLoss(COUNTS, weight=[0.0, 1.0, 1.0, 1.0])]
    found, _ = SoftmaxSlopes(losses, torch.ones(1))(torch.randn(3, 1, 4), torch.zeros(3).long(), torch.zeros(3, 2))
    assert torch.equal(found, torch.zeros(3, 1, 4))

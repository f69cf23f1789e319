"""What tells two losses apart."""

from lt_lightning.losses import EqualizationLossV2, FocalLoss, LogisticLoss
from lt_lightning.retraining.slopes.base import constants

COUNTS = [3, 1]


def test_class_arguments_weights_and_state_count_but_not_the_mode():
    assert constants(FocalLoss(COUNTS).eval()) == constants(FocalLoss(COUNTS).train())
    assert constants(FocalLoss(COUNTS)) != constants(LogisticLoss(COUNTS))
    assert constants(FocalLoss(COUNTS)) != constants(FocalLoss(COUNTS, gamma=1.0))
    assert constants(FocalLoss(COUNTS)) != constants(FocalLoss(COUNTS, weight=[1.0, 1.0]))
    seen = EqualizationLossV2(COUNTS)
    seen.positive_gradients += 1
    assert constants(seen) != constants(EqualizationLossV2(COUNTS))

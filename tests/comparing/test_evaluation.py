"""Figures of a head against those of the metrics that a Trainer uses."""

import pytest
import torch

from lt_lightning.comparing.evaluation import accuracies, evaluate, predict, temperature
from lt_lightning.features import Features
from lt_lightning.heads import LinearHead, LogitAdjustmentHead
from lt_lightning.losses import ClassBalancedLoss, CrossEntropyLoss, LDAMLoss
from lt_lightning.losses.form import form_of
from lt_lightning.metrics import CalibrationError, GroupAccuracy

COUNTS = [200, 50, 5]
THRESHOLDS = (20, 100)
LOGITS = torch.randn(90, 3, generator=torch.Generator().manual_seed(0)) * 3
TARGETS = torch.arange(90) % 3


def test_figures_are_those_of_the_metrics():
    loss = CrossEntropyLoss(COUNTS)
    found = evaluate(LOGITS, TARGETS, loss, COUNTS, THRESHOLDS, 2.0).figures
    accuracy, calibration, scaled = (
        GroupAccuracy(COUNTS, THRESHOLDS),
        CalibrationError(COUNTS, THRESHOLDS),
        CalibrationError(COUNTS, THRESHOLDS),
    )
    accuracy.update(LOGITS, TARGETS)
    calibration.update(loss.probabilities(LOGITS), TARGETS)
    scaled.update(loss.probabilities(LOGITS / 2), TARGETS)
    assert found["accuracy"] == pytest.approx({name: value.item() for name, value in accuracy.compute().items()})
    assert found["ece"] == pytest.approx(calibration.compute()["all"].item())
    assert found["ece_scaled"] == pytest.approx(scaled.compute()["all"].item())
    assert accuracies(LOGITS, TARGETS, COUNTS, THRESHOLDS) == found["accuracy"]
    assert evaluate(LOGITS, TARGETS, loss, COUNTS, THRESHOLDS, None).figures["ece_scaled"] is None


def test_predictions_are_adjusted_ones():
    head = LogitAdjustmentHead(4, COUNTS)
    features = Features(torch.randn(1, 9, 4, generator=torch.Generator().manual_seed(0)), TARGETS[:9])
    torch.testing.assert_close(predict(head, features, torch.device("cpu")), head.predict(features.values[0]))
    assert not torch.equal(predict(head, features, torch.device("cpu")), head(features.values[0]))


def test_the_loss_says_what_probabilities_are():
    assert form_of(ClassBalancedLoss(COUNTS, kind="sigmoid")) == "sigmoid"
    assert form_of(ClassBalancedLoss(COUNTS, kind="softmax_bce")) == "softmax"
    plain = temperature(LOGITS, TARGETS, CrossEntropyLoss(COUNTS))
    scaled = temperature(LOGITS / 30, TARGETS, LDAMLoss(COUNTS, scale=30.0))
    assert scaled == pytest.approx(plain, rel=1e-4)


def test_half_precision_features_are_raised():
    features = Features(torch.randn(1, 9, 4).half(), TARGETS[:9])
    assert predict(LinearHead(4, COUNTS), features, torch.device("cpu")).dtype == torch.float32

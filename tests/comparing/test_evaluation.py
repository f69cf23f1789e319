"""Figures of a head against those of the metrics that a Trainer uses."""

import pytest
import torch

from lt_lightning.comparing import evaluation
from lt_lightning.comparing.evaluation import (
    accuracies,
    count_correct,
    evaluate,
    mean_accuracies,
    predict,
    predict_parts,
    predicted_classes,
    share_correct,
)
from lt_lightning.features import Features
from lt_lightning.heads import CosineHead, LinearHead, LogitAdjustmentHead, MaxNormHead, TauNormHead
from lt_lightning.losses import CrossEntropyLoss, LogisticLoss
from lt_lightning.metrics import CalibrationError, GroupAccuracy
from tests.kept_tensors import KeptTensors

COUNTS = [200, 50, 5]
THRESHOLDS = (20, 100)
LOGITS = torch.randn(90, 3, generator=torch.Generator().manual_seed(0)) * 3
TARGETS = torch.arange(90) % 3


def test_figures_are_those_of_the_metrics():
    loss = CrossEntropyLoss(COUNTS)
    found = evaluate(LOGITS.split(17), TARGETS, loss, COUNTS, THRESHOLDS, 2.0).figures
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
    correct = torch.tensor(found["per_class"]["correct"])
    assert accuracies(correct, TARGETS, COUNTS, THRESHOLDS) == found["accuracy"]
    assert evaluate([LOGITS], TARGETS, loss, COUNTS, THRESHOLDS, None).figures["ece_scaled"] is None


def test_the_same_class_is_predicted_for_accuracy_and_calibration():
    """Also where sigmoids of several large logits are 1 in fp32."""
    logits, targets = torch.tensor([[20.0, 30.0, -5.0]]), torch.tensor([1])
    found = evaluate([logits], targets, LogisticLoss(COUNTS), COUNTS, THRESHOLDS, 1.01).figures
    assert found["accuracy"]["micro"] == 1
    assert (found["ece"], found["ece_scaled"]) == (pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6))


def test_predictions_are_adjusted_ones():
    head = LogitAdjustmentHead(4, COUNTS)
    features = Features(torch.randn(1, 9, 4, generator=torch.Generator().manual_seed(0)), TARGETS[:9])
    torch.testing.assert_close(predict(head, features, torch.device("cpu")), head.predict(features.values[0]))
    assert not torch.equal(predict(head, features, torch.device("cpu")), head(features.values[0]))


def test_half_precision_features_are_raised():
    features = Features(torch.randn(1, 9, 4).half(), TARGETS[:9])
    assert predict(LinearHead(4, COUNTS), features, torch.device("cpu")).dtype == torch.float32


def test_logits_are_kept_once(monkeypatch):
    """Parts of those of all images would take as much again beside them."""
    monkeypatch.setattr(evaluation, "ROWS", 1)
    features = Features(torch.randn(1, 90, 4, generator=torch.Generator().manual_seed(0)), TARGETS)
    head = LinearHead(4, COUNTS).eval()
    with KeptTensors() as kept:
        found = predict(head, features, torch.device("cpu"))
    assert kept.most < 20
    torch.testing.assert_close(found, head.predict(features.values[0]))


def test_one_pass_judges_all_heads(monkeypatch):
    """Linear heads in shared products, others by themselves, over several parts of the images."""
    monkeypatch.setattr(evaluation, "ROWS", 40)
    monkeypatch.setattr(evaluation, "_ENTRIES", 2 * 40 * 3)
    values = torch.randn(1, 90, 4, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    values[0, 0, 0] = values[0, 85, 1] = 2
    features = Features(values, TARGETS)
    heads = [kind(4, COUNTS).eval() for kind in (LinearHead, CosineHead, MaxNormHead, LinearHead, TauNormHead)]
    broken = LinearHead(4, COUNTS).eval()
    torch.nn.init.constant_(broken.bias, torch.inf)
    early, late = (LinearHead(4, COUNTS).eval() for _ in range(2))  # in one product
    early.weight.data[:, 0] = late.weight.data[:, 1] = 3e38  # infinite for an image of the first part, or of the last
    found = count_correct([*heads, broken, early, late], features, torch.device("cpu"))
    assert found[-3:] == [None] * 3
    for head, correct in zip(heads, found, strict=False):
        classes = head.predict(features.values[0]).argmax(dim=1)
        assert correct.tolist() == torch.bincount(TARGETS[classes == TARGETS], minlength=3).tolist()
    scores = mean_accuracies([heads[1], broken], features, COUNTS, THRESHOLDS, torch.device("cpu"))
    assert scores[0] == accuracies(found[1], TARGETS, COUNTS, THRESHOLDS)["all"]
    assert scores[1] != scores[1]  # NaN
    parts = list(predict_parts(heads[1], features, torch.device("cpu")))
    assert torch.equal(predicted_classes(heads[1], features, torch.device("cpu")), torch.cat(parts).argmax(dim=1))
    assert [len(part) for part in parts] == [40, 40, 10]


def test_shares_are_of_each_image(monkeypatch):
    monkeypatch.setattr(evaluation, "ROWS", 40)
    features = Features(torch.randn(1, 90, 4, generator=torch.Generator().manual_seed(0)), TARGETS)
    heads = [CosineHead(4, COUNTS).eval(), LinearHead(4, COUNTS).eval()]
    found = share_correct(heads, features, torch.device("cpu"))
    right = torch.stack([head.predict(features.values[0]).argmax(dim=1) == TARGETS for head in heads])
    assert found.tolist() == right.double().mean(dim=0).tolist()


class Unit(LinearHead):
    """Writes into the features that it is given."""

    def forward(self, features):
        features /= features.norm(dim=1, keepdim=True)
        return super().forward(features)


class Sharpened(CrossEntropyLoss):
    """Writes into the logits that it is given."""

    def probabilities(self, logits):
        logits *= -2
        return logits.softmax(dim=1)


def test_parts_of_ones_own_that_write_into_what_they_get_spoil_nothing():
    cpu, values = torch.device("cpu"), torch.randn(1, 90, 4, generator=torch.Generator().manual_seed(0))
    features, linear, unit = Features(values.clone(), TARGETS), LinearHead(4, COUNTS).eval(), Unit(4, COUNTS).eval()
    (alone,) = count_correct([linear], features, cpu)
    _, beside, last = count_correct([unit, linear, CosineHead(4, COUNTS).eval()], features, cpu)
    assert beside.tolist() == alone.tolist()
    assert last is not None
    logits = predict(unit, features, cpu)
    assert torch.equal(features.values, values)
    found = evaluate([logits.clone()], TARGETS, Sharpened(COUNTS), COUNTS, THRESHOLDS, 1.0)
    assert found.classes.tolist() == logits.argmax(dim=1).tolist()
    assert found.figures["ece"] == found.figures["ece_scaled"]


def test_a_head_with_a_product_of_its_own_is_not_copied():
    """Weights of many classes are large, and all heads are judged at once."""
    heads = [LinearHead(4, COUNTS).eval() for _ in range(2)]
    teams = evaluation._teams(heads, 1)
    assert [forward.keywords["weight"].data_ptr() for _, forward in teams] == [head.weight.data_ptr() for head in heads]

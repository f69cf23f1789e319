"""The metrics of one split together."""

import pytest
import torch

from lt_lightning.heads import LinearHead
from lt_lightning.losses import LogisticLoss
from lt_lightning.metrics import CalibrationError, GroupAccuracy
from lt_lightning.modules.evaluation import Evaluation

COUNTS, THRESHOLDS = [50, 9, 2], (5, 20)


def batch(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(20, 3, generator=generator), torch.randint(0, 3, (20,), generator=generator)


def test_the_record_is_that_of_its_metrics():
    found, accuracy, calibration = (kind(COUNTS, THRESHOLDS) for kind in (Evaluation, GroupAccuracy, CalibrationError))
    for seed in (0, 1):
        logits, targets = batch(seed)
        found.update(logits, logits.softmax(1), targets)
        accuracy.update(logits, targets)
        calibration.update(logits.softmax(1), targets)
    record = found.record(head := LinearHead(4, COUNTS))
    assert record["accuracy"] == {name: value.item() for name, value in accuracy.compute().items()}
    assert record["calibration"]["ece"]["few"] == calibration.compute()["few"].item()
    assert sum(record["per_class"]["total"]) == 40
    assert record["per_class"]["accuracy"] == accuracy.per_class().tolist()
    assert record["group_sizes"] == {"many": 1, "medium": 1, "few": 1}
    assert record["per_class"]["weight_norm"] == pytest.approx(head.weight.norm(dim=1).tolist())
    assert set(record["logits"]["logits_magnitude"]) >= {"many", "medium", "few"}
    scalars = found.scalars()
    assert scalars["all"].item() == record["accuracy"]["all"]
    assert scalars["ece"].item() == record["calibration"]["ece"]["all"]


def test_groups_are_as_large_as_their_classes_with_images():
    """Of others there is no accuracy that its mean could hold."""
    found, (logits, targets) = Evaluation([50, 9, 8, 2], THRESHOLDS), batch(0)
    found.update(torch.nn.functional.pad(logits, (0, 1)), torch.full((20, 4), 0.25), targets.clamp(max=1))
    record = found.record(LinearHead(4, [50, 9, 8, 2]))
    assert record["group_sizes"] == {"many": 1, "medium": 1, "few": 0}
    assert record["classes_without_images"] == 2


def test_the_same_class_is_predicted_for_accuracy_and_calibration():
    """Also where sigmoids of several large logits are 1 in fp32."""
    found, logits, targets = Evaluation(COUNTS, THRESHOLDS), torch.tensor([[20.0, 30.0, -5.0]]), torch.tensor([1])
    found.update(logits, LogisticLoss(COUNTS).probabilities(logits), targets)
    scalars = found.scalars()
    assert scalars["micro"] == 1
    assert scalars["ece"].item() == pytest.approx(0, abs=1e-6)


def test_it_starts_anew():
    found, logits_and_targets = Evaluation(COUNTS, THRESHOLDS), batch(0)
    logits, targets = logits_and_targets
    found.update(logits, logits.softmax(1), targets)
    first = found.scalars()["all"]
    found.reset()
    found.update(logits, logits.softmax(1), targets)
    assert found.scalars()["all"] == first
    assert sum(found.record(LinearHead(4, COUNTS))["per_class"]["total"]) == 20
    assert list(found.state_dict()) == []  # nothing of it belongs into a checkpoint

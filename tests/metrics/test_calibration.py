import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.errors import UsageError
from lt_lightning.losses import LDAMLoss, LogisticLoss
from lt_lightning.metrics import CalibrationError

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())


@settings(max_examples=30)
@given(st.integers(2, 6), st.integers(1, 40), st.integers(1, 20), st.integers(0, 10_000), st.booleans())
def test_definition_written_out(k: int, n: int, num_bins: int, seed: int, one_vs_all: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, k, generator=generator, dtype=torch.float64)
    probabilities = logits.sigmoid() if one_vs_all else logits.softmax(1)
    targets = torch.randint(k, (n,), generator=generator)
    counts = torch.randint(1, 200, (k,), generator=generator).tolist()
    metric = CalibrationError(counts, num_bins=num_bins)
    metric.update(probabilities, targets)
    members = {
        "all": range(k),
        "many": [c for c in range(k) if counts[c] > 100],
        "medium": [c for c in range(k) if 20 <= counts[c] <= 100],
        "few": [c for c in range(k) if counts[c] < 20],
    }
    found = metric.compute()
    for name, classes in members.items():
        rows = [(row, y) for row, y in zip(probabilities.tolist(), targets.tolist(), strict=True) if y in classes]
        error = 0.0
        for b in range(num_bins):
            within = [(row, y) for row, y in rows if b / num_bins < max(row) <= (b + 1) / num_bins]
            gap = sum((row.index(max(row)) == y) - max(row) for row, y in within)
            error += abs(gap)
        expected = error / len(rows) if rows else math.nan
        assert found[name].item() == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_reliability_of_a_sure_and_an_unsure_half() -> None:
    sure, unsure = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]])
    metric = CalibrationError([200, 5], num_bins=4)
    metric.update(torch.cat((sure, sure, unsure)), torch.tensor([0, 1, 0]))
    bins = metric.reliability()
    assert bins["images"].tolist() == [0, 1, 0, 2]
    assert bins["confidence"].tolist() == pytest.approx([math.nan, 0.5, math.nan, 1.0], nan_ok=True)
    assert bins["accuracy"].tolist() == pytest.approx([math.nan, 1.0, math.nan, 0.5], nan_ok=True)
    found = metric.compute()
    assert found["all"].item() == pytest.approx((0.5 + 2 * 0.5) / 3)
    assert found["many"].item() == pytest.approx(0.25)
    assert found["few"].item() == 1.0
    assert found["medium"].isnan()


def test_probabilities_of_the_loss_carry_its_scale() -> None:
    counts = GOLDEN["train_counts"]
    cosines, targets = torch.tensor(GOLDEN["logits"]).tanh(), torch.tensor(GOLDEN["targets"])
    metrics = []
    for scale in (1.0, 30.0):
        metric = CalibrationError(counts)
        metric.update(LDAMLoss(counts, scale=scale).probabilities(cosines), targets)
        metrics.append(metric.compute()["all"].item())
    assert metrics[1] > metrics[0] + 0.1  # nearly one-hot probabilities at an accuracy of 0.42


def test_the_class_predicted_may_be_told() -> None:
    """Sigmoids of 20 and of 30 are both 1 in fp32."""
    metric, logits, targets = CalibrationError([9, 9, 9]), torch.tensor([[20.0, 30.0, -5.0]]), torch.tensor([1])
    metric.update(LogisticLoss([9, 9, 9]).probabilities(logits), targets, logits.argmax(dim=1))
    assert metric.compute()["all"].item() == pytest.approx(0, abs=1e-6)
    assert metric.reliability()["accuracy"][-1] == 1


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(UsageError, match="`num_bins` must be at least 1, but got 0"):
        CalibrationError([5, 3], num_bins=0)
    with pytest.raises(UsageError, match=r"`group_thresholds` must be \(low, high\)"):
        CalibrationError([5, 3], (9, 3))
    with pytest.raises(UsageError, match=r"`probabilities` must have shape \(N, 2\), but got \(4, 3\)"):
        CalibrationError([5, 3]).update(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))
    targets = torch.zeros(4, dtype=torch.int64)
    with pytest.raises(UsageError, match=r"`predicted` must hold the class of each of 4 samples, .* but got \(3,\)"):
        CalibrationError([5, 3]).update(torch.zeros(4, 2), targets, targets[:3])


@pytest.mark.parametrize(
    "unsuitable",
    [lambda logits: 5 * logits, lambda logits: logits.log_softmax(1), lambda logits: 100 * logits.softmax(1)],
    ids=["logits", "logarithms", "per cent"],
)
def test_what_is_no_probabilities_is_refused(unsuitable) -> None:
    metric, generator = CalibrationError([90, 30, 9, 2]), torch.Generator().manual_seed(0)
    logits, targets = torch.randn(50, 4, generator=generator), torch.randint(4, (50,), generator=generator)
    metric.update(unsuitable(logits), targets)
    sentence = (
        r"`probabilities` of `CalibrationError` must lie in \[0, 1\], but .* give it `loss.probabilities\(logits\)`"
    )
    with pytest.raises(UsageError, match=sentence):
        metric.compute()
    with pytest.raises(UsageError, match=sentence):
        metric.reliability()


def test_sure_predictions_and_no_numbers_are_no_mistake() -> None:
    metric = CalibrationError([90, 30, 9, 2])
    metric.update(torch.eye(4).repeat(500, 1) * (1 + 1e-6), torch.arange(4).repeat(500))  # as rounding may leave them
    assert metric.compute()["all"] < 1e-5
    metric.update(torch.full((1, 4), torch.nan), torch.arange(1))
    assert metric.compute()["all"].isnan()

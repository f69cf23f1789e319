import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics import Metric

from lt_lightning.errors import UsageError
from lt_lightning.metrics import GroupAccuracy, LogitsStatistics
from tests.two_processes import in_two_processes

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden.json").read_text())
LOGITS, TARGETS = torch.tensor(GOLDEN["logits"], dtype=torch.float64), torch.tensor(GOLDEN["targets"])
COUNTS: list[int] = GOLDEN["train_counts"]


def fed(*batches: slice) -> GroupAccuracy:
    metric = GroupAccuracy(COUNTS)
    for batch in batches:
        metric.update(LOGITS[batch], TARGETS[batch])
    return metric


def test_reference_numbers() -> None:
    metric = fed(slice(None))
    results = {name: value.item() for name, value in metric.compute().items()}
    top5 = results.pop("top5")
    within = (LOGITS.topk(5, dim=1).indices == TARGETS.unsqueeze(1)).any(dim=1)
    by_class = [within[c == TARGETS].double().mean().item() for c in range(7)]
    assert top5 == pytest.approx(sum(by_class) / 7, abs=1e-12)
    known = list(GOLDEN["per_class"].values())
    assert results.pop("worst") == pytest.approx(min(known), abs=1e-12)
    assert results.pop("harmonic") == pytest.approx(7 / sum(1 / value for value in known), abs=1e-12)
    assert results.pop("geometric") == pytest.approx(math.prod(known) ** (1 / 7), abs=1e-12)
    expected = {name: GOLDEN[name] for name in ("many", "medium", "few", "micro")} | {"all": GOLDEN["macro"]}
    assert results == pytest.approx(expected, abs=1e-12)
    accuracies = metric.per_class()
    for c, value in GOLDEN["per_class"].items():
        assert accuracies[int(c)].item() == pytest.approx(value, abs=1e-12)
    assert accuracies[-1].isnan()  # no test image


def test_counts_and_group_sizes() -> None:
    correct, total = fed(slice(None)).counts()
    assert total.tolist() == torch.bincount(TARGETS, minlength=8).tolist()
    assert correct.sum().item() == (LOGITS.argmax(1) == TARGETS).sum().item()
    assert fed().group_sizes == {"many": 3, "medium": 3, "few": 2}


@settings(max_examples=30)
@given(st.integers(2, 6), st.integers(1, 40), st.integers(0, 10_000))
def test_sums_written_out(k: int, n: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits, targets = torch.randn(n, k, generator=generator), torch.randint(k, (n,), generator=generator)
    counts = torch.randint(1, 200, (k,), generator=generator).tolist()
    metric = GroupAccuracy(counts)
    metric.update(logits, targets)
    hits: list[list[bool]] = [[] for _ in range(k)]
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        hits[target].append(row.index(max(row)) == target)
    groups = {
        "all": range(k),
        "many": [c for c in range(k) if counts[c] > 100],
        "medium": [c for c in range(k) if 20 <= counts[c] <= 100],
        "few": [c for c in range(k) if counts[c] < 20],
    }
    results = metric.compute()
    for name, members in groups.items():
        accuracies = [sum(hits[c]) / len(hits[c]) for c in members if hits[c]]
        expected = sum(accuracies) / len(accuracies) if accuracies else math.nan
        assert results[name].item() == pytest.approx(expected, nan_ok=True)
    assert results["micro"].item() == pytest.approx(sum(map(sum, hits)) / n)


def test_a_class_is_within_the_top_k_if_fewer_than_k_are_ahead() -> None:
    metric = GroupAccuracy([5] * 4, top_k=(3, 2, 9, 2))
    assert metric.top_k == (2, 3)  # nine of four classes are all
    logits = torch.tensor([[4.0, 3.0, 2.0, 1.0]] * 4)
    metric.update(logits, torch.arange(4))
    found = {name: value.item() for name, value in metric.compute().items()}
    assert (found["all"], found["top2"], found["top3"]) == (0.25, 0.5, 0.75)
    metric.reset()
    metric.update(torch.zeros(4, 4), torch.arange(4))  # equal logits are in the order of the classes, as for argmax
    found = {name: value.item() for name, value in metric.compute().items()}
    assert (found["all"], found["top2"], found["top3"]) == (0.25, 0.5, 0.75)


def test_a_diverged_network_is_never_right() -> None:
    metric = GroupAccuracy([5] * 6)
    metric.update(torch.full((6, 6), torch.nan), torch.arange(6))
    assert metric.compute()["top5"].item() == metric.compute()["all"].item() == 0


def test_top_k_beyond_the_classes_is_left_out_and_1_is_refused() -> None:
    assert GroupAccuracy([3, 2, 1, 1, 1]).top_k == ()
    assert GroupAccuracy([3, 2, 1, 1, 1, 1]).top_k == (5,)
    with pytest.raises(
        UsageError, match=r"`top_k` must hold numbers from 2 on \(1 is always there\), but got \(1, 5\)"
    ):
        GroupAccuracy(COUNTS, top_k=(1, 5))


def test_other_thresholds() -> None:
    assert GroupAccuracy([180, 60, 3], (10, 60)).group_sizes == {"many": 1, "medium": 1, "few": 1}
    with pytest.raises(UsageError, match=r"`group_thresholds` must be \(low, high\) with 0 <= .*, but got \(9, 3\)"):
        GroupAccuracy(COUNTS, (9, 3))


@pytest.mark.parametrize("kind", [GroupAccuracy, LogitsStatistics])
@pytest.mark.parametrize("shape", [(4, 7), (4,), (4, 8, 1)])
def test_logits_of_another_shape_are_refused(kind: type[Metric], shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"`logits` must have shape \(N, 8\), but got \(4"):
        kind(COUNTS).update(torch.zeros(shape), torch.zeros(4, dtype=torch.int64))


def work(rank: int) -> tuple[Any, ...]:
    """One of two processes: both metrics on an uneven share."""
    share = slice(0, 150) if rank == 0 else slice(150, None)
    accuracy, statistics = GroupAccuracy(COUNTS), LogitsStatistics(COUNTS)
    for metric in (accuracy, statistics):
        metric.update(LOGITS[share], TARGETS[share])
    results = (accuracy.compute(), statistics.compute(), accuracy.counts(), accuracy.per_class())
    assert accuracy.total.sum() == len(LOGITS[share])  # its own share again
    return results


def test_two_processes_equal_one(tmp_path: Path) -> None:
    both = in_two_processes(work, tmp_path)
    one, statistics = fed(slice(None)), LogitsStatistics(COUNTS)
    statistics.update(LOGITS, TARGETS)
    expected = (one.compute(), statistics.compute(), one.counts(), one.per_class())
    for found in both:
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0, equal_nan=True)

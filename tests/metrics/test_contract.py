"""What every streaming metric keeps to."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from public_metrics import COUNTS, METRICS, Feed, Make
from torch import Tensor
from torchmetrics import Metric

from lt_lightning import metrics
from lt_lightning.errors import UsageError
from lt_lightning.metrics import CalibrationError, GroupAccuracy, LearningPropertyResidual, LogitsStatistics

K, N = len(COUNTS), 90
LOGITS = torch.randn(N, K, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGETS = torch.randint(K - 1, (N,), generator=torch.Generator().manual_seed(1))

each = pytest.mark.parametrize(("make", "feed"), METRICS.values(), ids=METRICS)
with_targets = pytest.mark.parametrize("name", sorted(METRICS.keys() - {"LearningPropertyResidual"}))


def test_every_public_metric_is_here() -> None:
    public = {name: getattr(metrics, name) for name in metrics.__all__}
    assert {name for name, one in public.items() if inspect.isclass(one) and issubclass(one, Metric)} == set(METRICS)


def fed(make: Make, feed: Feed, *batches: slice) -> Metric:
    metric = make(K)
    for batch in batches:
        feed(metric, LOGITS[batch], TARGETS[batch])
    return metric


def assert_same(one: Metric, other: Metric) -> None:
    torch.testing.assert_close(one.compute(), other.compute(), rtol=1e-11, atol=1e-13, equal_nan=True)


@each
def test_batches_add_up_and_halves_merge(make: Make, feed: Feed) -> None:
    one = fed(make, feed, slice(None))
    assert_same(one, fed(make, feed, slice(0, 1), slice(1, 40), slice(40, 40), slice(40, None)))
    left, right = fed(make, feed, slice(0, 31)), fed(make, feed, slice(31, None))
    left.merge_state(right)
    assert_same(one, left)


@each
def test_states_are_sums_of_few_numbers_per_class(make: Make, feed: Feed) -> None:
    metric, k = make(4000), 4000
    feed(metric, torch.zeros(3, k), torch.tensor([0, 3999, 5]))
    assert all(reduce is not None and reduce.__name__ == "dim_zero_sum" for reduce in metric._reductions.values())
    assert sum(state.numel() for state in metric.metric_state.values()) <= 9 * k + 1


@each
def test_no_update_waits_for_the_host(make: Make, feed: Feed) -> None:
    # A tensor on the meta device has no values: anything that read one would raise.
    metric = make(K).to("meta")
    feed(metric, torch.empty(5, K, device="meta"), torch.zeros(5, dtype=torch.int64, device="meta"))
    assert all(state.device.type == "meta" for state in metric.metric_state.values())


@each
def test_updates_alternate_with_inference_mode(make: Make, feed: Feed) -> None:
    metric = make(K)
    with torch.inference_mode():
        metric.reset()
        feed(metric, LOGITS[:9], TARGETS[:9])
    feed(metric, LOGITS[9:30], TARGETS[9:30])
    with torch.inference_mode():
        feed(metric, LOGITS[30:], TARGETS[30:])
    assert_same(metric, fed(make, feed, slice(None)))


@each
def test_sums_stay_in_fp64_and_reset_forgets(make: Make, feed: Feed) -> None:
    metric = fed(make, feed, slice(0, 50)).to(torch.bfloat16)
    metric.half()
    assert_same(metric, fed(make, feed, slice(0, 50)))
    assert all(not s.is_floating_point() or s.dtype == torch.float64 for s in metric.metric_state.values())
    metric.reset()
    feed(metric, LOGITS[50:], TARGETS[50:])
    assert_same(metric, fed(make, feed, slice(50, None)))


@each
def test_state_survives_a_checkpoint(make: Make, feed: Feed) -> None:
    metric, other = fed(make, feed, slice(0, 50)), make(K)
    for each_of_them in (metric, other):
        each_of_them.persistent(True)
    other.load_state_dict(metric.state_dict())
    for name, state in metric.metric_state.items():
        assert torch.equal(state, other.metric_state[name])


class Twins:
    """A process like this one, as a group of both would show it; notes of which group it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, state: Tensor, group: str) -> list[Tensor]:
        self.asked.append(group)
        return [state, state]


@each
@pytest.mark.parametrize("sync", [True, False])
def test_options_of_torchmetrics_decide_what_is_gathered(make: Make, feed: Feed, sync: bool) -> None:
    twins, alone = Twins(), fed(make, feed, slice(None))
    metric = make(
        K, sync_on_compute=sync, dist_sync_fn=twins, process_group="both", distributed_available_fn=lambda: True
    )
    feed(metric, LOGITS, TARGETS)
    metric.compute()
    assert set(twins.asked) == ({"both"} if sync else set())
    twins.asked.clear()
    times = 2 if sync else 1
    if isinstance(metric, GroupAccuracy):
        torch.testing.assert_close(metric.counts(), tuple(times * counted for counted in alone.counts()))
        torch.testing.assert_close(metric.per_class(), alone.per_class(), equal_nan=True)
    elif isinstance(metric, CalibrationError):
        assert metric.reliability()["images"].sum() == times * N
    elif isinstance(metric, LearningPropertyResidual):
        pull = torch.arange(1.0, K + 1)
        torch.testing.assert_close(metric.with_decay(times * pull), alone.with_decay(pull))
    else:  # they say nothing but by `compute`
        return
    assert set(twins.asked) == ({"both"} if sync else set())


@each
def test_other_options_are_refused(make: Make, feed: Feed) -> None:
    with pytest.raises(ValueError, match="Unexpected keyword arguments: `sync_on_computing`"):
        make(K, sync_on_computing=False)


@with_targets
def test_targets_of_another_shape_or_type_are_refused(name: str) -> None:
    make, feed = METRICS[name]
    for wrong in (TARGETS[:1], TARGETS[:3], TARGETS.unsqueeze(1), TARGETS.double(), TARGETS.int()):
        with pytest.raises(UsageError, match=r"^`targets` must hold the class of each of 90 samples, \(90,\)"):
            feed(make(K), LOGITS, wrong)


@with_targets
def test_no_class_is_counted_as_another(name: str) -> None:
    make, feed = METRICS[name]
    for wrong in (TARGETS - 1, TARGETS + K):
        with pytest.raises((IndexError, RuntimeError), match="out of"):
            feed(make(K), LOGITS, wrong)


@pytest.mark.parametrize("make", [GroupAccuracy, LogitsStatistics, CalibrationError])
def test_class_counts_may_be_0_but_no_dict(make: Callable[[Any], Metric]) -> None:
    assert [make(counts).num_classes for counts in ([0, 500], torch.tensor([0, 500]))] == [2, 2]
    for wrong in (dict(enumerate(COUNTS)), [-1, 3], [1.5, 3]):
        with pytest.raises(UsageError, match=r"^`class_counts` must"):
            make(wrong)

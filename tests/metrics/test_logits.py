import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lt_lightning.errors import UsageError
from lt_lightning.metrics import LogitsStatistics

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden.json").read_text())
LOGITS, TARGETS = torch.tensor(GOLDEN["logits"], dtype=torch.float64), torch.tensor(GOLDEN["targets"])
COUNTS: list[int] = GOLDEN["train_counts"]


def results(logits: torch.Tensor, targets: torch.Tensor, batch_size: int = 64) -> dict[str, torch.Tensor]:
    metric = LogitsStatistics([5] * logits.shape[1])
    for batch in zip(logits.split(batch_size), targets.split(batch_size), strict=True):
        metric.update(*batch)
    return dict(metric.compute())


@pytest.mark.parametrize("batch_size", [1, 64, 200])
@pytest.mark.parametrize("name", ["logits_magnitude", "regularized_std"])
def test_reference_numbers(name: str, batch_size: int) -> None:
    expected = [float("nan") if value is None else value for value in GOLDEN[name]]
    found = results(LOGITS, TARGETS, batch_size)[name]
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert found[-1].isnan()  # no test image


def test_reference_numbers_in_fp32() -> None:
    found = results(LOGITS.float(), TARGETS)["regularized_std"]
    assert found[:-1].tolist() == pytest.approx(GOLDEN["regularized_std"][:-1], rel=1e-4)


@settings(max_examples=30)
@example(2, 4, 16)  # one class has every sample, and its sum is not exact
@given(st.integers(2, 5), st.integers(4, 30), st.integers(0, 10_000))
def test_definitions_written_out(k: int, n: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, k, generator=generator, dtype=torch.float64)
    targets = torch.randint(k, (n,), generator=generator)
    found = results(logits, targets, 7)
    centred = logits - logits.mean(1, keepdim=True)
    for prefix, values in (("", logits), ("centred_", centred)):
        for c in range(k):
            magnitude, ratio = found[f"{prefix}logits_magnitude"][c], found[f"{prefix}regularized_std"][c]
            own, rest = values[targets == c, c], values[targets != c, c]
            if len(own) == 0 or len(rest) == 0:
                assert magnitude.isnan()
                assert ratio.isnan()
                continue
            expected = own.mean() - rest.mean()
            std = values[:, c].std(correction=0)
            torch.testing.assert_close(magnitude, expected, rtol=1e-9, atol=1e-11)
            torch.testing.assert_close(ratio * magnitude, std, rtol=1e-9, atol=1e-7)


def test_one_vector_added_to_all_weights_moves_raw_but_not_centred() -> None:
    generator = torch.Generator().manual_seed(0)
    shift = 3 * torch.randn(len(LOGITS), 1, generator=generator, dtype=torch.float64)
    before, after = results(LOGITS, TARGETS), results(LOGITS + shift, TARGETS)
    for name in ("logits_magnitude", "regularized_std"):
        torch.testing.assert_close(before[f"centred_{name}"], after[f"centred_{name}"], equal_nan=True)
        assert not torch.allclose(before[name][:-1], after[name][:-1])


def test_a_large_common_offset_costs_no_digits() -> None:
    offset = (LOGITS.float() + 2.0**14).double()  # exact in fp32, so only the metric can lose
    expected = results(offset - 2.0**14, TARGETS)
    found = results(offset.float(), TARGETS)
    torch.testing.assert_close(
        found["logits_magnitude"], expected["logits_magnitude"], rtol=1e-6, atol=0, equal_nan=True
    )
    torch.testing.assert_close(found["regularized_std"], expected["regularized_std"], rtol=1e-5, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised(dtype: torch.dtype) -> None:
    logits = LOGITS.to(dtype)
    torch.testing.assert_close(
        results(logits, TARGETS), results(logits.float(), TARGETS), rtol=0, atol=0, equal_nan=True
    )


def test_an_empty_batch_changes_nothing() -> None:
    metric = LogitsStatistics(COUNTS)
    metric.update(LOGITS, TARGETS)
    before = metric.compute()
    metric.update(LOGITS[:0], TARGETS[:0])
    torch.testing.assert_close(metric.compute(), before, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("cast", [torch.nn.Module.half, torch.nn.Module.bfloat16, lambda m: m.to(torch.bfloat16)])
def test_accumulators_stay_in_fp64(cast: Any) -> None:
    metric = LogitsStatistics(COUNTS)
    metric.update(LOGITS, TARGETS)
    before = metric.sums.clone()
    cast(metric)
    assert metric.sums.dtype == torch.float64
    assert torch.equal(metric.sums, before)
    metric.reset()
    assert metric.sums.dtype == torch.float64


def test_means_by_group_leave_out_classes_without_images() -> None:
    metric = LogitsStatistics(COUNTS)
    metric.update(LOGITS, TARGETS)
    values = metric.compute()["logits_magnitude"]
    means = metric.by_group(values)
    assert list(means) == ["many", "medium", "few"]
    torch.testing.assert_close(means["many"], values[:3].mean())
    torch.testing.assert_close(means["few"], values[6])
    assert LogitsStatistics([500] * 8).by_group(values)["few"].isnan()


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(UsageError, match=r"`group_thresholds` must be \(low, high\)"):
        LogitsStatistics(COUNTS, (100, 20))

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.errors import UsageError
from lt_lightning.metrics import FisherRatio


@settings(max_examples=20)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(6, 30), st.integers(0, 1000))
def test_definition_written_out(k: int, d: int, n: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = 7 + torch.randn(n, d, generator=generator, dtype=torch.float64)
    targets = torch.randint(k, (n,), generator=generator)
    metric = FisherRatio(k, d)
    for batch in zip(features.split(4), targets.split(4), strict=True):
        metric.update(*batch)
    between = within = 0.0
    for c in targets.unique():
        own = features[targets == c]
        between += len(own) * (own.mean(0) - features.mean(0)).square().sum().item() / n
        within += (own - own.mean(0)).square().sum().item() / n
    found = metric.compute()
    assert found["between"].item() == pytest.approx(between, abs=1e-10)
    assert found["within"].item() == pytest.approx(within, abs=1e-10)
    if within > 1e-6:
        assert found["fisher_ratio"].item() == pytest.approx(between / within, abs=1e-8)


def test_classes_further_apart_have_a_larger_ratio() -> None:
    noise = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(20) % 2
    ratios = []
    for distance in (1.0, 4.0):
        metric = FisherRatio(2, 2)
        metric.update(noise + distance * targets.unsqueeze(1), targets)
        ratios.append(metric.compute()["fisher_ratio"].item())
    assert ratios[1] > 4 * ratios[0]


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(UsageError, match="`num_features` must be at least 1, but got 0"):
        FisherRatio(3, 0)
    with pytest.raises(UsageError, match="`num_classes` must be at least 1, but got -1"):
        FisherRatio(-1, 3)
    with pytest.raises(UsageError, match=r"`features` must have shape \(N, 3\), but got \(2, 4\)"):
        FisherRatio(2, 3).update(torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64))

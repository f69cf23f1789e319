"""The papers' protocol says how long it will take before it begins."""

import pytest

from lt_lightning.backbones import SmallCNN
from lt_lightning.comparing import Options, paper_rows
from lt_lightning.comparing.paper_rows import estimate
from lt_lightning.comparing.setup import Setup
from lt_lightning.features import ExtractionOptions


@pytest.mark.parametrize("channels_last", [True, False])
def test_an_estimate_counts_every_pass(foreign, make_data, monkeypatch, channels_last):
    quiet = ExtractionOptions(progress=False, device="cpu", channels_last=channels_last)
    options = Options(protocol="paper", seeds=(0, 1), features=quiet)
    data = make_data()
    setup = Setup(str(foreign), SmallCNN(8, in_channels=3), data, "crt,lws,tau_norm", {}, options)
    clock = iter(range(100))
    monkeypatch.setattr(paper_rows.time, "perf_counter", lambda: float(next(clock)))  # each timing takes a second
    number = sum(data.class_counts)  # at most as many as are timed
    assert number < paper_rows._TIMED
    per_image = 1 / paper_rows._REPEATS / number
    tests = 2 * 80
    assert estimate(setup) == pytest.approx(per_image * (2 * (10 + 5) * (number + tests) + 2 * tests))
    assert not setup.source.backbone.training

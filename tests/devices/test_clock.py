"""Seconds on a device that computes by itself."""

import time

import pytest
import torch

from lt_lightning.devices.clock import device_time


@pytest.mark.parametrize(("kind", "waits"), [("cuda", True), ("cpu", False), ("meta", False)])
def test_what_computes_by_itself_is_waited_for(kind, waits, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "synchronize", asked.append)
    before = time.perf_counter()
    assert before <= device_time(torch.device(kind)) <= time.perf_counter()
    assert asked == [torch.device("cuda")] * waits

"""Reference numbers of the losses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lt_lightning import losses
from lt_lightning.losses import Loss

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "golden.json").read_text())


def check_batch(loss: Loss, batch: dict[str, Any], dtype: torch.dtype, tolerance: float) -> None:
    """Value and gradient of one batch; ``features`` go to the loss and are part of the graph, as from a backbone."""
    logits = torch.tensor(batch["logits"], dtype=dtype, requires_grad=True)
    features = None
    if "features" in batch:
        features = torch.tensor(batch["features"], dtype=dtype, requires_grad=True)
    value = loss(logits, torch.tensor(batch["targets"]), features)
    value.backward()
    expected = torch.tensor(batch["grad"], dtype=dtype)
    assert value.dtype == dtype
    assert value.item() == pytest.approx(batch["value"], rel=tolerance)
    torch.testing.assert_close(logits.grad, expected, rtol=tolerance, atol=tolerance * expected.abs().max().item())


@pytest.fixture
def assert_golden() -> Callable[[str], None]:
    """Checks every reference case of one loss: value and gradient, to 1e-9 in fp64 and 1e-4 in fp32.

    A case with a ``sequence`` feeds its batches to one instance in order, as a loss with a state sees them.
    """

    def check(name: str) -> None:
        cases = [case for case in CASES if case["loss"] == name]
        assert sum(len(case.get("sequence", [case])) for case in cases) >= 2
        for case in cases:
            for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
                loss = getattr(losses, name)(case["class_counts"], **case["kwargs"])
                for batch in case.get("sequence", [case]):
                    check_batch(loss, batch, dtype, tolerance)

    return check

"""Reference numbers of the losses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lt_lightning import losses

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "golden.json").read_text())


@pytest.fixture
def assert_golden() -> Callable[[str], None]:
    """Checks every reference case of one loss: value and gradient, to 1e-9 in fp64 and 1e-4 in fp32."""

    def check(name: str) -> None:
        cases = [case for case in CASES if case["loss"] == name]
        assert len(cases) >= 2
        for case in cases:
            for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
                loss = getattr(losses, name)(case["class_counts"], **case["kwargs"])
                logits = torch.tensor(case["logits"], dtype=dtype, requires_grad=True)
                value = loss(logits, torch.tensor(case["targets"]))
                value.backward()
                expected = torch.tensor(case["grad"], dtype=dtype)
                assert value.dtype == dtype
                assert value.item() == pytest.approx(case["value"], rel=tolerance)
                torch.testing.assert_close(
                    logits.grad, expected, rtol=tolerance, atol=tolerance * expected.abs().max().item()
                )

    return check

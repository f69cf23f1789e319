"""Reference numbers of the heads."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lt_lightning import heads
from lt_lightning.heads import Head

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "golden.json").read_text())


@pytest.fixture
def assert_golden() -> Callable[..., None]:
    """Checks every reference case of one head: what ``predict`` gives, to 1e-9 in fp64 and 1e-4 in fp32."""

    def check(name: str, prepare: Callable[[Head, dict[str, Any]], None] = lambda head, case: None) -> None:
        cases = [case for case in CASES if case["head"] == name]
        assert cases
        for case in cases:
            for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
                weight = torch.tensor(case["weight"], dtype=dtype)
                head = getattr(heads, name)(weight.shape[1], case["class_counts"], **case["kwargs"]).to(dtype)
                head.init_from(weight, torch.tensor(case["bias"], dtype=dtype))
                with torch.no_grad():
                    prepare(head, case)
                expected = torch.tensor(case["logits"], dtype=dtype)
                found = head.predict(torch.tensor(case["features"], dtype=dtype))
                torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)

    return check

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "benchmarks" / "stage1.py").exists():
    pytest.skip("the scripts of the source tree are not here", allow_module_level=True)
sys.path.insert(0, str(ROOT / "benchmarks"))

from timing_stage1.spread import spread


def test_rounds_have_a_median_and_quartiles():
    assert spread([4.0, 1.0, 3.0, 2.0, 5.0]) == {"median": 3.0, "quartile_1": 2.0, "quartile_3": 4.0}
    assert spread([2.0]) == {"median": 2.0, "quartile_1": 2.0, "quartile_3": 2.0}

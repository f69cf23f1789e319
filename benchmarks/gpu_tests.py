"""The tests that skip without a GPU, and a record of what came of them.

    python benchmarks/gpu_tests.py

They are a part of every run of the tests; this one is for a machine that is there for minutes.
"""

import argparse
import sys
import time
from pathlib import Path

import pytest

from lt_lightning.results import environment, write_json

TESTS = Path(__file__).resolve().parents[1] / "tests"
FILES = (
    "test_gpu.py",
    "modules/test_no_waiting.py",
    "modules/test_speed.py",
    "data/test_crop_table.py",
    "devices/test_random_state.py",
)
"""Those that have tests that ask for a GPU."""


class Outcomes:
    """A pytest plugin that notes what came of each test."""

    def __init__(self) -> None:
        self.passed = 0
        self.skipped: list[str] = []
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once: by what it did, or what kept it from beginning or ending."""
        if report.failed:
            self.failed.append(report.nodeid)
        elif report.skipped:
            self.skipped.append(report.nodeid)
        elif report.when == "call":
            self.passed += 1


def main(argv: list[str] | None = None) -> int:
    """Run them; pytest's status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/tests_cuda.json"))
    parser.add_argument("--files", nargs="+", default=FILES, help="below tests/")
    arguments = parser.parse_args(argv)
    hardware = environment("cuda")
    outcomes, began = Outcomes(), time.monotonic()
    status = pytest.main(["-q", *(str(TESTS / file) for file in arguments.files)], plugins=[outcomes])
    if status in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):  # else not all have run
        write_json(arguments.output, {"environment": hardware, "seconds": time.monotonic() - began, **vars(outcomes)})
    return int(status)


if __name__ == "__main__":
    sys.exit(main())

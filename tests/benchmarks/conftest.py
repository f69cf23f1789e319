"""The scripts' modules, runs of scripts that several test files look at, and records that no script has made."""

import json
import math
import multiprocessing
import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from reproducing.settings import Settings
    from reproducing.tables import Training
    from reproducing.training import Budget

SCRIPTS = Path(__file__).resolve().parents[2] / "benchmarks"
if SCRIPTS.is_dir():
    sys.path.insert(0, str(SCRIPTS))
else:  # they are not in the wheel
    collect_ignore_glob = ["test_*.py"]


def _as_main(script: Path, arguments: tuple[str, ...], folder: Path) -> None:
    for number, name in ((1, "printed.txt"), (2, "errors.txt")):
        with (folder / name).open("w") as file:
            os.dup2(file.fileno(), number)
    multiprocessing.set_start_method(None, force=True)  # of its own processes: whatever Python's is
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(SCRIPTS))
    from measuring import PINNED

    os.environ |= PINNED | {"KINETO_LOG_LEVEL": "99"}  # as scripts would set it for themselves, and start again
    runpy.run_path(str(script), run_name="__main__")


@pytest.fixture(scope="session")
def run_script(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs a script in a process of its own, forked from one that has imported torch; gives what it has printed."""

    def run(script: Path, *arguments: str) -> str:
        folder = tmp_path_factory.mktemp(script.stem)
        process = multiprocessing.get_context("forkserver").Process(target=_as_main, args=(script, arguments, folder))
        process.start()
        process.join(timeout=300)
        process.kill()
        assert process.exitcode == 0, (folder / "errors.txt").read_text()
        return (folder / "printed.txt").read_text()

    return run


TINY = ("--networks", "ResNet20", "--batch-sizes", "4", "--precisions", "32-true", "--warm", "1", "--steps", "1")
ONE_ROUND = ("--rounds", "1", "--evaluated", "100", "--data-images", "256", "--threads", "1")


@pytest.fixture(scope="session")
def stage1_record(run_script: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``benchmarks/stage1.py`` leaves after one round of every part."""
    output = tmp_path_factory.mktemp("stage1") / "stage1.json"
    parts = ("--parts", "a", "b", "c", "data")
    run_script(SCRIPTS / "stage1.py", *TINY, *ONE_ROUND, *parts, "--output", str(output))
    record: dict[str, Any] = json.loads(output.read_text())
    return record


LAST = {"selection": "last epoch", "test_time_averaging": "none", "precision": "32-true"}
HEADS = {"selection": "last epoch", "views": 20, "bn_mode": "eval", "test_time_averaging": "none"}
MACHINE = {"lt_lightning": "0.1.0", "hardware": "a processor", "threads": 1}


@pytest.fixture
def made() -> Callable[..., dict[str, Any]]:
    """A record as ``benchmarks/reproduce.py`` leaves it; ``all_`` in per cent, ``protocol`` what differs in it."""

    def make(
        row: str, column: str, all_: float, seed: int = 0, stage1: Any = None, protocol: Any = None, **more: Any
    ) -> dict[str, Any]:
        return {
            "key": {"row": row, "column": column, "mode": "fit", "stage1": "", "stage1_seed": None, "seed": seed},
            "stage1": stage1,
            "seeds": [seed],
            "protocol": (LAST if stage1 is None else HEADS) | (protocol or {}),
            "accuracy": {"all": all_ / 100, "micro": all_ / 100, "many": 0.5, "medium": 0.25, "few": 0.125},
            "standard_deviation": None,
            "seconds": 90.0,
            "environment": MACHINE,
            "hashes": {},
            **more,
        }

    return make


@pytest.fixture
def on() -> Callable[..., dict[str, Any]]:
    """The stage 1 that a record's stage 2 started from."""

    def make(seed: int | None, another: bool = False) -> dict[str, Any]:
        return {"name": "cifar100_lt/stage1/ce", "seed": seed, "another": another, "backbone": "ResNet32"}

    return make


@pytest.fixture
def line() -> Callable[[str, str], list[str]]:
    """The cells of the one line of Markdown tables that starts with a name."""

    def find(text: str, start: str) -> list[str]:
        (found,) = [found for found in text.splitlines() if found.startswith(f"| {start} |")]
        return [cell.strip() for cell in found.strip("|").split("|")]

    return find


@pytest.fixture
def digits_data() -> dict[str, Any]:
    """The digits with at most 40 images a class, as in YAML."""
    options = {"max_count": 40, "imbalance_ratio": 10, "val_from": "unused", "batch_size": 64}
    return {"class_path": "DigitsLT", "init_args": options}


@pytest.fixture
def tiny_backbone() -> dict[str, Any]:
    """A network of 8 features, as in YAML."""
    return {"class_path": "SmallCNN", "init_args": {"num_features": 8}}


@pytest.fixture
def training(tmp_path: Path, digits_data: dict[str, Any], tiny_backbone: dict[str, Any]) -> "Training":
    """Three epochs from scratch, as a preset of its own."""
    from reproducing.tables import Training

    config = {
        "data": digits_data,
        "model": {"class_path": "RepresentationModule", "init_args": {"backbone": tiny_backbone}},
        "trainer": {"max_epochs": 3, "accelerator": "cpu", "num_sanity_val_steps": 0},
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    return Training(str(tmp_path / "tiny.yaml"))


@pytest.fixture
def method(digits_data: dict[str, Any], tiny_backbone: dict[str, Any]) -> Callable[[str], "Training"]:
    """A published method on the digits."""
    from reproducing.tables import Training

    def make(name: str) -> Training:
        overlay = {"data": digits_data, "model": {"init_args": {"backbone": tiny_backbone}}}
        return Training(f"cifar100_lt/{name}", overlay | {"trainer": {"max_epochs": 2, "accelerator": "cpu"}})

    return make


@pytest.fixture
def settings(tmp_path: Path) -> "Settings":
    """One seed of everything, one view, and folders of its own."""
    from reproducing.settings import Settings

    return Settings("", accelerator="cpu", views="1", runs=tmp_path / "runs", results=tmp_path / "results")


@pytest.fixture
def counted() -> Callable[[int], "Budget"]:
    """A budget that lets so many questions pass; then time is over."""
    from reproducing.training import Budget

    class Counted(Budget):
        def __init__(self, questions: int) -> None:
            super().__init__()
            self.questions = questions

        def left(self) -> float:
            self.questions -= 1
            return math.inf if self.questions >= 0 else -1.0

    return Counted

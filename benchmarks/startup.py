"""Seconds from typing a command to its answer, against what importing Lightning alone takes in the same rounds.

    python benchmarks/startup.py

Every case is a process of its own, from its start to its end; one round runs each case once, so that what else the
machine does hits all alike. A case that trains ends with its first training step. The stock command line is Lightning's
own, with one model and one data module of its demonstrations: what it takes beyond the import is no fault of ours.
"""

import argparse
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from measuring import in_turns, run_python, spread

from lt_lightning.results import environment, write_json

YARDSTICK = "import lightning.pytorch.cli"
_STOP = "startup.StopAfterFirstStep"
_STOCK = (
    "from lightning.pytorch.cli import LightningCLI\n"
    "from lightning.pytorch.demos.boring_classes import BoringDataModule, DemoModel\n"
    "LightningCLI(DemoModel, BoringDataModule)"
)
_PLAIN = ("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false")
_STOCK_FIT = ("fit", *_PLAIN, "--trainer.enable_model_summary=false", "--trainer.num_sanity_val_steps=0")
_TINY = ("--model=RepresentationModule", "--model.backbone=SmallCNN", "--data=DigitsLT", "--trainer.max_epochs=1")


class StopAfterFirstStep(Callback):
    """Ends the process when the first training step has ended, so that the process lasts as long as that took."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:  # noqa: ARG002
        """Leave at once."""
        os._exit(0)


def cases(preset: str, pipeline: str) -> dict[str, list[str]]:
    """What is timed: for each case, what Python is given.

    Args:
        preset: Of a stage, for ``fit``.
        pipeline: Preset of a pipeline.
    """
    ours = ["-m", "lt_lightning"]
    return {
        "python -c pass": ["-c", "pass"],
        "import torch": ["-c", "import torch"],
        YARDSTICK: ["-c", YARDSTICK],
        "stock fit --print_config": ["-c", _STOCK, "fit", "--print_config"],
        "stock fit, first step": ["-c", _STOCK, *_STOCK_FIT, f"--trainer.callbacks={_STOP}"],
        "lt-lightning --help": [*ours, "--help"],
        "fit --print_config": [*ours, "fit", "-c", preset, "--print_config"],
        "predict --help": [*ours, "predict", "--help"],
        "compare --help": [*ours, "compare", "--help"],
        "pipeline --print_config": [*ours, "pipeline", "-c", pipeline, "--print_config"],
        "fit, first step": [*ours, "fit", *_TINY, *_PLAIN, f"--trainer.callbacks={_STOP}"],
        "pipeline, first step": [*ours, "pipeline", "-c", pipeline, *_PLAIN, f"--stage1.trainer.callbacks={_STOP}"],
    }


def seconds(arguments: list[str], folder: str) -> float:
    """How long a Python process lasts.

    Args:
        arguments: Of Python.
        folder: Where it runs, and may leave files.

    Raises:
        RuntimeError: If it fails, with what it said.
    """
    started = time.perf_counter()
    done = run_python(arguments, folder)
    passed = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed: {done.stderr}")
    return passed


def measure(chosen: dict[str, list[str]], rounds: int, warm_up: int) -> dict[str, list[float]]:
    """Seconds of each case in each round.

    Args:
        chosen: The cases.
        rounds: How often each is run and counted.
        warm_up: Rounds before those, in which files get into memory and modules are compiled.
    """
    with tempfile.TemporaryDirectory() as folder:
        candidates = {name: partial(seconds, arguments, folder) for name, arguments in chosen.items()}
        return in_turns(candidates, rounds, warm_up)


def main(argv: list[str] | None = None) -> None:
    """Time every case, print the medians and ratios, write them down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--warm-up", type=int, default=1)
    parser.add_argument("--cases", nargs="+", default=None, help="some of them, instead of all")
    parser.add_argument("--preset", default="cifar100_lt/stage1/ce")
    parser.add_argument("--pipeline", default="quickstart")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/startup.json"))
    arguments = parser.parse_args(argv)
    known = cases(arguments.preset, arguments.pipeline)
    if unknown := set(arguments.cases or ()) - set(known):
        parser.error(f"--cases has {sorted(unknown)}; there are {list(known)}")
    chosen = {name: known[name] for name in known if arguments.cases is None or name in {*arguments.cases, YARDSTICK}}
    found = measure(chosen, arguments.rounds, arguments.warm_up)
    rows = {}
    print(f"median seconds [quartiles] of {arguments.rounds} rounds, and in imports of Lightning")
    for name, values in found.items():
        low, median, high = (spread(values)[name] for name in ("quartile_1", "median", "quartile_3"))
        # of the ratios within a round: what slows the machine down for a while slows both
        ratio = spread([value / other for value, other in zip(values, found[YARDSTICK], strict=True)])["median"]
        rows[name] = {"median_seconds": median, "quartiles_seconds": [low, high], "lightning_imports": ratio}
        print(f"  {name:30s} {median:8.3f} [{low:.3f}, {high:.3f}]  {ratio:6.3f}")
    settings = {"preset": arguments.preset, "pipeline": arguments.pipeline, "rounds": arguments.rounds}
    write_json(arguments.output, {"environment": environment(), **settings, "cases": rows})
    print(f"\n{environment()}\nwritten to {arguments.output}")


if __name__ == "__main__":
    main()

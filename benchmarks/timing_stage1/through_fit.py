"""Part b: the package through ``lt-lightning fit``, in this process and as a command of its own."""

import argparse
import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import timed_fit
from measuring import Timed, in_turns, run_python, spread

from timing_stage1.loops import MODES, settings


def cut_fit(
    name: str, batch: int, precision: str, mode: str, steps: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Configuration of part b."""
    config = timed_fit.configuration(name, arguments.root)
    config["data"]["init_args"]["batch_size"] = batch
    config["model"]["init_args"]["compile"] = MODES[mode]
    device = {"accelerator": "gpu" if arguments.device == "cuda" else "cpu", "devices": 1, "precision": precision}
    return timed_fit.cut(config, arguments.warm, steps, arguments.evaluated, device)


def through_fit(config: dict[str, Any]) -> Timed:
    """Part b, its files thrown away."""
    settings(benchmark=False, matmul="highest")
    with tempfile.TemporaryDirectory() as folder:
        return timed_fit.fit(config, Path(folder))


def command(path: Path, threads: int | None) -> None:
    """``lt-lightning fit`` as a command of its own."""
    own = {"OMP_NUM_THREADS": str(threads)} if threads else {}
    done = run_python(["-m", "lt_lightning", "fit", "-c", str(path)], **own)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


def over_processes(arguments: argparse.Namespace) -> dict[str, Any]:
    """Images per second of part b on one and on two CPU processes of one thread each, which share a batch."""
    name, batch = arguments.networks[0], arguments.batch_sizes[-1]

    def rate(number: str) -> float:
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "clock.json"
            config = timed_fit.configuration(name, arguments.root)
            config["data"]["init_args"]["batch_size"] = batch
            trainer = {"accelerator": "cpu", "devices": int(number), "precision": arguments.precisions[-1]}
            trainer |= {"enable_progress_bar": False} | ({"strategy": "ddp"} if number == "2" else {})
            sizes = (arguments.warm, arguments.steps, arguments.evaluated)
            command(timed_fit.write(timed_fit.cut(config, *sizes, trainer, str(output)), Path(folder)), 1)
            seconds: float = json.loads(output.read_text())["step"]
            return batch / seconds

    rates = in_turns({number: partial(rate, number) for number in ("1", "2")}, arguments.process_rounds)
    record: dict[str, Any] = {"network": name, "batch": batch, "precision": arguments.precisions[-1]}
    record["images_per_second"] = {number: spread(found) for number, found in rates.items()}
    record["2/1"] = spread([two / one for one, two in zip(rates["1"], rates["2"], strict=True)])
    return record


def whole_run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a preset from the command to its end, start-up, validation and checkpoints included."""
    config = timed_fit.configuration("", arguments.root, arguments.full)
    config["data"]["init_args"]["batch_size"] = arguments.batch_sizes[0]
    config["model"]["init_args"]["compile"] = MODES[arguments.modes[0]]
    accelerator = "gpu" if arguments.device == "cuda" else "cpu"
    config["trainer"] |= {"accelerator": accelerator, "devices": 1, "precision": arguments.precisions[-1]}
    config["trainer"] |= {"max_epochs": arguments.full_epochs} if arguments.full_epochs else {}
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command(timed_fit.write(config, Path(folder)), arguments.threads)
        seconds = time.perf_counter() - began
        (results,) = Path(folder).rglob("results.json")
        rate = json.loads(results.read_text())["training_images_per_second"]
    asked = {"preset": arguments.full, "batch": arguments.batch_sizes[0], "mode": arguments.modes[0]}
    asked |= {"precision": arguments.precisions[-1], "epochs": config["trainer"]["max_epochs"]}
    return asked | {"seconds": seconds, "training_images_per_second": rate}

"""Everything that asks for a GPU, the most wanted first: tests, speed, then the papers' tables and our own preset.

    python benchmarks/on_a_gpu.py --list
    python benchmarks/on_a_gpu.py --root data --budget 25
    python benchmarks/on_a_gpu.py --root data --budget 9 --parts lort100 best

Parts are run one after another, each by a command that works by itself too; ``--list`` shows them. A part that fails is
named at the end and keeps none of the others from running. The same command may be given again until nothing is left:
tables and the ablation stop when the budget says so, and go on from there; what else outlasts it is ended, and measured
anew; what has a record of this hardware is not repeated, unless with ``--again``.
"""

import argparse
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from timing_stage1.loops import MODES

from lt_lightning.results import environment

HERE = Path(__file__).resolve().parent
UNFINISHED = 3
"""Status of a script that its budget has stopped."""

NO_DATA = 4
"""Status of a script that has run all that there is data for."""

SETTINGS = {"ResNet34": "64", "ResNet32": "128"}
"""Networks whose speed is measured, and the batch size of the papers' recipes with them."""


def plan(root: str, seeds: int, precision: str, compilation: str) -> dict[str, list[list[str]]]:
    """The commands of each part, without an interpreter before them and a budget behind.

    Args:
        root: Data folder.
        seeds: Of both stages of trainings; a run that is timed has one.
        precision: Of trainings; the presets leave it to ``fit``, which takes the fastest, bf16 on most GPUs.
        compilation: Of backbones in training; it changes rounding alone. What a whole run takes is measured without it,
            too: it costs time at the start.
    """

    def script(name: str, *options: str) -> list[str]:
        return [str(HERE / f"{name}.py"), *options]

    def trained(name: str, *options: str) -> list[str]:
        here = ("--root", root, "--seeds", str(seeds), "--accelerator", "gpu")
        here += ("--precision", precision, "--compile", compilation)
        return script(name, *options, *here)

    def table(name: str, *options: str) -> list[str]:
        return trained("reproduce", "--table", name, *options)

    def stage1(record: str, *options: str) -> list[str]:
        return script("stage1", "--device", "cuda", "--root", root, "--output", record_of(record), *options)

    def speed(network: str, batch: str) -> list[str]:
        here = ("--networks", network, "--batch-sizes", batch, "--modes", *dict.fromkeys(("eager", mode)))
        return stage1(f"stage1_cuda_{network.lower()}", "--parts", "a", "b", *here, "--steps", "60", "--rounds", "3")

    def whole(record: str, mode: str) -> list[str]:
        here = ("--modes", mode, "--precisions", precision, "--full", "cifar100_lt/stage1/ce")
        return stage1(record, "--parts", *here)

    mode = next(mode for mode, name in MODES.items() if name == compilation)
    return {
        "tests": [script("gpu_tests", "--output", record_of("tests_cuda"))],
        "whole": [whole(f"stage1_cuda_whole_{mode}", mode)],
        "lort100": [table("lort1"), table("lort2", "--columns", "cifar100_ir100")],
        "speed": [
            script("stage2", "--device", "cuda", "--output", record_of("stage2_cuda")),
            *(speed(*setting) for setting in SETTINGS.items()),
        ],
        "eager": [whole("stage1_cuda_whole_eager", "eager")] if mode != "eager" else [],
        "best": [trained("best_ablation")],
        "figures": [table("lort_fig4"), table("lort_fig5")],
        "ratios": [table("lort2", "--columns", "cifar100_ir50;cifar100_ir10")],
        "stages": [table("lort3")],
        "elm": [table("elm1")],
        "logistic": [table(name) for name in ("dlr1", "lgl3", "lgl4", "lgl5")],
    }


def record_of(name: str) -> str:
    """Path of a record."""
    return str(HERE / "results" / f"{name}.json")


def main(argv: list[str] | None = None) -> int:
    """Run the parts; 1 if one has failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="data", help="data folder, itself or with a folder for each set")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--precision", default="bf16-mixed", help="of trainings")
    parser.add_argument("--compile", choices=MODES.values(), default="reduce-overhead", help="of backbones")
    parser.add_argument("--budget", type=float, help="minutes after which nothing goes on")
    parser.add_argument("--parts", nargs="+", help="some of those that --list shows; default: all")
    parser.add_argument("--again", action="store_true", help="repeat what has a record of this hardware")
    parser.add_argument("--list", action="store_true", help="show the commands and run nothing")
    options = parser.parse_args(argv)
    parts = plan(options.root, options.seeds, options.precision, options.compile)
    unknown = set(options.parts or []) - set(parts)
    if unknown:
        parser.error(f"--parts {' '.join(sorted(unknown))}: choose from {' '.join(parts)}")
    chosen = {name: parts[name] for name in options.parts or parts}
    if options.list:
        for name, commands in chosen.items():
            for command in commands:
                print(f"{name}: {shlex.join(['python', *command])}")
        return 0
    if not torch.cuda.is_available():
        parser.error("torch finds no GPU here; --list shows what would be run")
    if not options.again:
        hardware = environment("cuda")["hardware"]
        chosen = {name: [one for one in some if not is_measured(one, hardware)] for name, some in chosen.items()}
    return _run(chosen, options.budget)


def is_measured(command: list[str], hardware: str) -> bool:
    """Whether a command's record is there, of this hardware and without failures."""
    if "--output" not in command:
        return False
    file = Path(command[command.index("--output") + 1])
    found = json.loads(file.read_text()) if file.is_file() else {}
    return bool(found) and found["environment"]["hardware"] == hardware and not found.get("failed")


def _run(chosen: dict[str, list[list[str]]], budget: float | None) -> int:
    end = math.inf if budget is None else time.monotonic() + 60 * budget
    failed, left_over, without_data = [], [], []
    for name, commands in chosen.items():
        for command in commands:
            left = (end - time.monotonic()) / 60
            if left <= 0:
                left_over.append(name)
                continue
            can_stop = Path(command[0]).stem in ("reproduce", "best_ablation")
            more = ["--budget", f"{left:.2f}"] if budget is not None and can_stop else []
            print(f"== {name}: {shlex.join(['python', *command, *more])}", flush=True)
            status = _run_for(math.inf if more else 60 * left, [sys.executable, *command, *more])
            if status == UNFINISHED:
                left_over.append(name)
            elif status == NO_DATA:
                without_data.append(name)
            elif status:
                failed.append(name)
    shown = {"failed": failed, "left for the next call": left_over, "without data for some columns": without_data}
    for what, names in shown.items():
        if names:
            print(f"{what}: {' '.join(dict.fromkeys(names))}", flush=True)
    return int(bool(failed))


def _run_for(seconds: float, command: list[str]) -> int:
    """A command's status; one that takes longer is ended, with what it has started, and counts as unfinished."""
    if seconds == math.inf:
        return subprocess.run(command, check=False).returncode
    process = subprocess.Popen(command, start_new_session=True)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return UNFINISHED
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    sys.exit(main())

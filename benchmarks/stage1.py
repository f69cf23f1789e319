"""Speed of stage 1: a bare PyTorch loop, this package through ``lt-lightning fit``, and published code's loop.

    python benchmarks/stage1.py --threads 2
    python benchmarks/stage1.py --networks ResNet34 --batch-sizes 64 --steps 2 --rounds 3 --parts a b c
    python benchmarks/stage1.py --device cuda --networks ResNet32 ResNet34 --steps 100 --root cifar100
    python benchmarks/stage1.py --device cuda --parts --full cifar100_lt/stage1/ce --root cifar100

``a``: images in memory, cropped, flipped and normalised in batches by this package's functions, then forward, backward
and a fused SGD, channels-last, and nothing else. ``b``: the preset, with progress bar, log and callbacks as they come.
``c``: PIL transforms in 4 workers, fp32, contiguous, ``.item()`` at every step, the whole test set after every epoch.
``data``: images per second of the transforms alone. ``processes``: ``b`` on one and on two CPU processes of one thread
each.

Parts take turns within each round, so that whatever else slows the machine down slows all of them; a ratio is taken
within a round, and medians and quartiles over rounds are shown. A step's time is the mean of a warm stretch; the first
step, which compiles, is reported apart. Time of an epoch: steps, for ``b`` also its logs, its checkpoint and its share
of validation, for ``c`` its test pass, both extrapolated from ``--evaluated`` images; starting an epoch counts for
nobody. On CPU glibc's allocator is pinned: page faults alone move fp32 twofold.

Without ``--root`` images are made up, of CIFAR100-LT's size at imbalance ratio 100.
"""

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import timed_fit
import torch
from measuring import pinned
from rich.table import Table
from timing_stage1.data_path import data_path
from timing_stage1.loops import MODES, WORKERS
from timing_stage1.rounds import Setting
from timing_stage1.through_fit import over_processes, whole_run

from lt_lightning.data import CIFAR100LT
from lt_lightning.quiet import quiet
from lt_lightning.results import environment, write_json
from lt_lightning.tables import show

PARTS = ("a", "b", "c", "data", "processes")


def shown(record: dict[str, Any]) -> None:
    """Tables of what was measured."""
    for setting in record["settings"]:
        table = Table(title=f"{setting['network']}, batch {setting['batch']}", title_justify="left")
        table.add_column("part")
        for heading in ("ms a step", "images/s", "quartiles", "first step, s", "epoch, s"):
            table.add_column(heading, justify="right")
        ratios = []
        for row in setting["rows"]:
            label, speed = f"{row['part']} {row['precision']} {row['mode']}", row["images_per_second"]
            table.add_row(
                label,
                f"{row['milliseconds_a_step']['median']:.1f}",
                f"{speed['median']:,.0f}",
                f"{speed['quartile_1']:,.0f}–{speed['quartile_3']:,.0f}",
                f"{row['first_step_seconds']:.1f}",
                f"{row['seconds_an_epoch']['median']:.1f}",
            )
            ratios += [(label, name, found) for name, found in row.get("ratios", {}).items()]
        show(table)
        for label, name, found in ratios:
            print(f"{label}: {name} {found['median']:.3f} ({found['quartile_1']:.3f}–{found['quartile_3']:.3f})")
    for name, rate in record.get("data", {}).items():
        print(f"{name}: {rate['median']:,.0f} images/s ({rate['quartile_1']:,.0f}–{rate['quartile_3']:,.0f})")
    for key in ("processes", "full"):
        if key in record:
            print(key, json.dumps(record[key], indent=1))


def main() -> None:
    """Measure what is asked for, writing after each setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--networks", nargs="+", default=["ResNet32"], help="ResNet34 has a stem for small images")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[64, 128])
    parser.add_argument("--precisions", nargs="+", default=["32-true", "bf16-mixed"], help="of parts a and b")
    parser.add_argument("--modes", nargs="+", choices=MODES, help="of parts a and b: eager on CPU, all on CUDA")
    parser.add_argument("--warm", type=int, default=2, help="steps before a measured stretch")
    parser.add_argument("--steps", type=int, default=10, help="steps of a measured stretch, at most an epoch's")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--process-rounds", type=int, default=2)
    parser.add_argument("--evaluated", type=int, default=512, help="images to time validation and test pass with")
    parser.add_argument("--data-images", type=int, help="of part data; a whole epoch by default")
    parser.add_argument("--threads", type=int, help="of torch; all cores by default")
    parser.add_argument("--root", default="", help="folder with CIFAR-100")
    parser.add_argument("--full", default="", help="a preset to train from beginning to end as well")
    parser.add_argument("--full-epochs", type=int, help="instead of the preset's")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/stage1.json"))
    arguments = parser.parse_args()
    if arguments.device == "cpu":
        pinned()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.modes = arguments.modes or (list(MODES) if arguments.device == "cuda" else ["eager"])
    quiet()
    warnings.filterwarnings("ignore", message=".*worker processes in total")  # published code asks no machine

    data = CIFAR100LT(root=arguments.root) if arguments.root else timed_fit.MadeUpLT()
    data.prepare_data()
    asked = ("device", "warm", "rounds", "evaluated")
    record: dict[str, Any] = {
        "environment": environment(arguments.device),
        "protocol": {"data": data.facts.name, "interleaved": True, "workers_of_c": WORKERS}
        | {name: getattr(arguments, name) for name in asked},
        "settings": [],
    }
    if set("abc") & set(arguments.parts):
        for name in arguments.networks:
            for batch in arguments.batch_sizes:
                record["settings"].append(Setting(name, batch, data, arguments).measure())
                write_json(arguments.output, record)
    if "data" in arguments.parts:
        record["data"] = data_path(data, arguments)
    if "processes" in arguments.parts:
        record["processes"] = over_processes(arguments)
    if arguments.full:
        record["full"] = whole_run(arguments)
    write_json(arguments.output, record)
    shown(record)
    print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()

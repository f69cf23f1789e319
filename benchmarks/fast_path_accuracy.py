"""Whether images augmented in batches give the accuracy of images augmented one by one, and bf16 that of fp32.

    python benchmarks/fast_path_accuracy.py --root cifar10

CIFAR10-LT at imbalance ratio 100, ResNet-20, cross entropy, 10 epochs of SGD (learning rate 0.1 falling along half a
cosine, momentum 0.9, weight decay 2e-4, batch 128). The slow path is published code's: torchvision's transforms of one
PIL image at a time in a ``DataLoader``, a plain PyTorch loop, fp32. The fast path is what ``lt-lightning fit`` runs:
uint8 images in memory, cropped, flipped and normalised a batch at a time, channels-last; once in fp32 and once in
bf16-mixed. All start from weights drawn by one law. Accuracy is of the test set and of the last epoch; nothing is
selected.

Runs take turns. Each is written to ``--output`` when it ends, and a script started again goes on where it stopped.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path
from statistics import mean, stdev, variance
from typing import Any, cast

import torch
from lightning.pytorch import seed_everything
from measuring import QUIET, pinned
from published_loop import PILImages, PublishedLoop
from rich.table import Table
from scipy.stats import ttest_ind
from torch import nn
from torch.utils.data import DataLoader

from lt_lightning.backbones import ResNet20
from lt_lightning.data import CIFAR10LT
from lt_lightning.data.in_memory import InMemoryImages
from lt_lightning.functional import group_accuracies, group_of
from lt_lightning.heads import LinearHead
from lt_lightning.main import LTCLI
from lt_lightning.modules import LTModule
from lt_lightning.results import environment, write_json
from lt_lightning.tables import show

PATHS = {"slow": "32-true", "fast": "32-true", "fast_bf16": "bf16-mixed"}
"""Precision of each path."""
PAIRS = {"fast - slow": ("fast", "slow"), "bf16 - fp32": ("fast_bf16", "fast")}
"""What is compared: the first less the second."""
GROUPS = ("all", "many", "medium", "few")
BATCH, OPTIMIZER = 128, {"lr": 0.1, "momentum": 0.9, "weight_decay": 2e-4}


def data_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Options of the data, the same for both paths."""
    return {
        "root": arguments.root,
        "imbalance_ratio": arguments.imbalance_ratio,
        "max_count": arguments.max_count,
        "val_from": "none",
        "batch_size": BATCH,
    }


def slow(seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Accuracy of one run of published code's loop."""
    seed_everything(seed, verbose=False)
    data = CIFAR10LT(**data_options(arguments))
    loaders = []
    for name in ("train", "test"):
        held = cast(InMemoryImages, data.load(name))
        images = PILImages(held.images, held.targets, data.facts.mean, data.facts.std, training=name == "train")
        loaders.append(DataLoader(images, BATCH, shuffle=name == "train", num_workers=arguments.workers))
    train, test = loaders
    backbone = ResNet20()
    network = nn.Sequential(backbone, LinearHead(backbone.num_features, data.class_counts))
    optimizer = torch.optim.SGD(network.parameters(), **OPTIMIZER)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=arguments.epochs)
    loop = PublishedLoop(network, optimizer)
    for _ in range(arguments.epochs):
        loop.train(train)
        schedule.step()
    counted = loop.test(test, data.num_classes)
    found = group_accuracies(*counted, group_of(data.class_counts, data.group_thresholds))
    return {name: found[name].item() for name in GROUPS}


def fast(seed: int, arguments: argparse.Namespace, precision: str) -> dict[str, Any]:
    """Accuracy of one run of this package, configured as ``lt-lightning fit`` is."""
    config = {
        "seed_everything": seed,
        "trainer": {"max_epochs": arguments.epochs, "accelerator": "cpu", "precision": precision, **QUIET},
        "model": {
            "class_path": "RepresentationModule",
            "init_args": {
                "backbone": "ResNet20",
                "head": "LinearHead",
                "loss": "CrossEntropyLoss",
                "optimizer": {"class_path": "torch.optim.SGD", "init_args": OPTIMIZER},
                "lr_scheduler": "lt_lightning.schedules.CosineLR",
                "channels_last": True,
            },
        },
        "data": {"class_path": "CIFAR10LT", "init_args": data_options(arguments)},
    }
    made = LTCLI(config, run=False)
    made.trainer.fit(made.model, datamodule=made.datamodule)
    made.trainer.test(made.model, datamodule=made.datamodule, verbose=False)
    accuracy = cast(LTModule, made.model).evaluation["test"]["accuracy"]
    return {name: accuracy[name] for name in GROUPS}


def run(path: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One run of a path, as it stands in the record."""
    start = time.perf_counter()
    accuracy = slow(seed, arguments) if path == "slow" else fast(seed, arguments, PATHS[path])
    return {
        "seed": seed,
        **accuracy,
        "seconds": time.perf_counter() - start,
        "hardware": environment()["hardware"],
        "threads": torch.get_num_threads(),
    }


def welch(first: list[float], second: list[float]) -> dict[str, Any]:
    """Welch's comparison of two samples; ``agree`` says that zero lies in the 95 % interval of first less second."""
    row: dict[str, Any] = {"difference": mean(first) - mean(second)}
    row["standard_error"] = math.sqrt(variance(first) / len(first) + variance(second) / len(second))
    if min(stdev(first), stdev(second)) > 0:
        found = ttest_ind(first, second, equal_var=False)
        low, high = map(float, found.confidence_interval(0.95))
        row |= {"interval_95": [low, high], "p": float(found.pvalue), "agree": low <= 0 <= high}
    return row


def compared(runs: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Mean and spread of every path in each group, and the pairs compared; groups without classes left out."""
    found = {}
    for group in GROUPS:
        values = {path: [run[group] for run in held] for path, held in runs.items() if len(held) > 1}
        if any(value is None or math.isnan(value) for held in values.values() for value in held):
            continue
        row: dict[str, Any] = {
            path: {"mean": mean(held), "sd": stdev(held), "runs": len(held)} for path, held in values.items()
        }
        for pair, (first, second) in PAIRS.items():
            if first in values and second in values:
                row[pair] = welch(values[first], values[second])
        found[group] = row
    return found


def report(comparison: dict[str, dict[str, Any]]) -> None:
    """A table in per cent, and a verdict in one sentence for each pair."""
    table = Table(title="test accuracy of the last epoch, per cent: mean ± sd over seeds", title_justify="left")
    table.add_column("")
    for heading in (*PATHS, *PAIRS):
        table.add_column(heading, justify="right")
    for group, row in comparison.items():
        means = [
            f"{100 * row[path]['mean']:.2f} ± {100 * row[path]['sd']:.2f}" if path in row else "" for path in PATHS
        ]
        differences = []
        for pair in PAIRS:
            low, high = row.get(pair, {}).get("interval_95", (math.nan, math.nan))
            text = f"{100 * row[pair]['difference']:+.2f}" if pair in row else ""
            differences.append(text if math.isnan(low) else f"{text} ({100 * low:+.2f} to {100 * high:+.2f})")
        table.add_row(group, *means, *differences)
    show(table)
    for pair in PAIRS:
        if not any(pair in row for row in comparison.values()):
            continue
        apart = [group for group, row in comparison.items() if not row.get(pair, {}).get("agree", True)]
        print(
            f"{pair}: a difference in {', '.join(apart)}: zero lies outside the 95 % interval"
            if apart
            else f"{pair}: no difference beyond the spread of seeds: zero lies in the 95 % interval of every group"
        )


def main() -> None:
    """Run what is missing, then compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="folder with CIFAR-10")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each path, at least 2 for a comparison")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, help="of torch; all cores by default")
    parser.add_argument("--workers", type=int, default=0, help="processes that transform images on the slow path")
    parser.add_argument("--paths", nargs="+", choices=PATHS, default=list(PATHS), help="that are run; default: all")
    parser.add_argument("--imbalance-ratio", type=float, default=100.0)
    parser.add_argument("--max-count", type=int, default=5000, help="images of the largest class")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/fast_path_accuracy.json"))
    arguments = parser.parse_args()
    pinned()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)

    asked = ("epochs", "imbalance_ratio", "max_count")
    protocol = {"data": "CIFAR10LT", "network": "ResNet20", "batch": BATCH, **OPTIMIZER, "schedule": "cosine to 0"}
    protocol |= {
        "precision": PATHS,
        "selection": "none: last epoch",
        **{name: getattr(arguments, name) for name in asked},
    }
    record: dict[str, Any] = {"environment": environment(), "protocol": protocol, "runs": {path: [] for path in PATHS}}
    if arguments.output.exists():
        kept = json.loads(arguments.output.read_text())
        if kept["protocol"] != protocol:
            sys.exit(f"{arguments.output} holds runs of other settings; give another --output or delete it")
        record["runs"] = kept["runs"]
    for seed in range(arguments.seeds):
        for path in arguments.paths:
            if any(done["seed"] == seed for done in record["runs"][path]):
                continue
            done = run(path, seed, arguments)
            record["runs"][path].append(done)
            write_json(arguments.output, record)
            print(f"{path}, seed {seed}: {100 * done['all']:.2f}", flush=True)
    if sorted(map(len, record["runs"].values()))[-2] > 1:
        record["comparison"] = compared(record["runs"])
        write_json(arguments.output, record)
        report(record["comparison"])
    print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()

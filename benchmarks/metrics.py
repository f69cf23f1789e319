"""Updates of the evaluation metrics, timed against cross entropy forward and backward in the same rounds.

    python benchmarks/metrics.py

One thread, memory kept by malloc (an allocation that goes back to the system each time costs more than the arithmetic),
everything interleaved: what else the machine does hits all alike, so ratios can be compared and times cannot.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from lt_lightning.metrics import CalibrationError, FisherRatio, GroupAccuracy, LogitsStatistics
from lt_lightning.results import environment, write_json

PINNED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "2147483647"}


def pin_malloc() -> None:
    """Start this script again with malloc told to keep its memory, which it asks for at the start of a process."""
    if any(os.environ.get(name) != value for name, value in PINNED.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **PINNED})


def cases(number: int, classes: int) -> dict[str, Callable[[], object]]:
    """What is timed, on one batch of made logits."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(number, classes, generator=generator)
    targets = torch.randint(classes, (number,), generator=generator)
    features = torch.randn(number, 512, generator=generator)
    counts = [1 + c % 150 for c in range(classes)]
    leaf = logits.clone().requires_grad_()

    def cross_entropy() -> Tensor:
        (gradient,) = torch.autograd.grad(F.cross_entropy(leaf, targets), leaf)
        return gradient

    accuracy, moments, calibration = GroupAccuracy(counts), LogitsStatistics(counts), CalibrationError(counts)
    fisher = FisherRatio(classes, 512)
    return {
        "cross entropy, forward and backward": cross_entropy,
        "argmax alone": lambda: logits.argmax(dim=1),
        "GroupAccuracy.update": lambda: accuracy.update(logits, targets),
        "LogitsStatistics.update": lambda: moments.update(logits, targets),
        "softmax and CalibrationError.update": lambda: calibration.update(logits.softmax(dim=1), targets),
        "FisherRatio.update (512 features)": lambda: fisher.update(features, targets),
    }


def measure(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each function, one run each per round."""
    found: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(rounds + 3):  # three to warm up
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            if turn >= 3:
                found[name].append(1e3 * (time.perf_counter() - started))
    return found


def main() -> None:
    """Time every case at every number of classes, print the ratios, write them down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--classes", type=int, nargs="+", default=[100, 1000, 8142])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/metrics.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    record: dict[str, object] = {"environment": environment(), "rounds": arguments.rounds, "malloc": PINNED}
    for classes in arguments.classes:
        found = measure(cases(arguments.batch_size, classes), arguments.rounds)
        base = found["cross entropy, forward and backward"]
        print(f"\nN = {arguments.batch_size}, K = {classes}: median ms [quartiles], and in cross entropies")
        rows = {}
        for name, values in found.items():
            low, median, high = statistics.quantiles(values, n=4)
            # of the ratios within a round: what slows the machine down for a while slows both
            ratio = statistics.median(value / other for value, other in zip(values, base, strict=True))
            rows[name] = {"median_ms": median, "quartiles_ms": [low, high], "cross_entropies": ratio}
            print(f"  {name:40s} {median:8.3f} [{low:.3f}, {high:.3f}]  {ratio:6.2f}")
        record[f"N={arguments.batch_size}, K={classes}"] = rows
    write_json(arguments.output, record)
    print(f"\n{record['environment']}\nwritten to {arguments.output}")


if __name__ == "__main__":
    pin_malloc()
    main()

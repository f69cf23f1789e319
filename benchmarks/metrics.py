"""Updates of the evaluation metrics, timed against cross entropy forward and backward in the same rounds.

    python benchmarks/metrics.py

One thread, memory kept by malloc (an allocation that goes back to the system each time costs more than the arithmetic),
everything interleaved: what else the machine does hits all alike, so ratios can be compared and times cannot.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from measuring import PINNED, in_turns, pinned, spread
from torch import Tensor
from torch.nn import functional as F

from lt_lightning.metrics import CalibrationError, FisherRatio, GroupAccuracy, LogitsStatistics
from lt_lightning.results import environment, write_json


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

    def timed(function: Callable[[], object]) -> float:
        started = time.perf_counter()
        function()
        return 1e3 * (time.perf_counter() - started)

    return in_turns({name: partial(timed, function) for name, function in functions.items()}, rounds, warm=3)


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
            low, median, high = (spread(values)[name] for name in ("quartile_1", "median", "quartile_3"))
            # of the ratios within a round: what slows the machine down for a while slows both
            ratio = spread([value / other for value, other in zip(values, base, strict=True)])["median"]
            rows[name] = {"median_ms": median, "quartiles_ms": [low, high], "cross_entropies": ratio}
            print(f"  {name:40s} {median:8.3f} [{low:.3f}, {high:.3f}]  {ratio:6.2f}")
        record[f"N={arguments.batch_size}, K={classes}"] = rows
    write_json(arguments.output, record)
    print(f"\n{record['environment']}\nwritten to {arguments.output}")


if __name__ == "__main__":
    pinned()
    main()

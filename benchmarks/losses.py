"""Time and memory of every loss, forward and backward, against torch's cross entropy.

    python benchmarks/losses.py
    python benchmarks/losses.py --device cuda --output benchmarks/results/losses_cuda.json

All losses take turns within each round, so that whatever else slows the machine down slows all of them; a ratio is
taken within a round, and its median and quartiles over rounds are shown. Memory is the peak over what was there before,
gradient included, in multiples of the logits.

On CPU the script starts itself again with glibc's allocator pinned: it otherwise returns large tensors to the system
after each step, and page faults make the same code up to five times slower.
"""

import argparse
from collections.abc import Callable
from functools import partial
from inspect import isabstract
from pathlib import Path
from statistics import median

import torch
from measuring import in_turns, pinned, spread
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from lt_lightning import losses
from lt_lightning.devices.clock import device_time
from lt_lightning.results import environment, write_json
from lt_lightning.tables import show

KINDS = ("sigmoid", "focal", "softmax_bce")
REFERENCE = "torch cross entropy"
Step = Callable[[], None]


class Batch:
    """Logits around the classifier's first steps, cosines for losses that scale them, features, long-tailed classes."""

    def __init__(self, number: int, classes: int, device: str) -> None:
        generator = torch.Generator().manual_seed(0)
        shares = torch.logspace(0, -2, classes)
        self.class_counts = [max(1, round(500 * share)) for share in shares.tolist()]
        self.logits = torch.randn(number, classes, generator=generator).to(device).requires_grad_()
        # Scaled by 30, unbounded logits end in denormal probabilities, which a CPU computes several times slower.
        self.cosines = torch.tanh(0.3 * self.logits.detach()).requires_grad_()
        self.features = torch.randn(number, 64, generator=generator).abs().to(device)
        self.targets = torch.multinomial(shares, number, replacement=True, generator=generator).to(device)

    def step(self, loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Step:
        """Forward and backward."""
        logits = self.cosines if getattr(loss, "logit_scale", 1.0) > 1 else self.logits

        def run() -> None:
            logits.grad = None
            loss(logits, self.targets, self.features).backward()

        return run

    def steps(self) -> dict[str, Step]:
        """Cross entropy first, then each public loss with its defaults."""
        found = {REFERENCE: self.step(lambda logits, targets, _: F.cross_entropy(logits, targets))}
        device = self.logits.device
        for name in losses.__all__:
            kind = getattr(losses, name)
            if not isabstract(kind):
                found[name] = self.step(kind(self.class_counts).to(device))
        for kind in KINDS:
            found[f"ClassBalancedLoss {kind}"] = self.step(
                losses.ClassBalancedLoss(self.class_counts, kind=kind).to(device)  # type: ignore[arg-type]
            )
        return found


def seconds(step: Step, repeats: int, device: str) -> float:
    """Mean over a few steps in a row."""
    began = device_time(torch.device(device))
    for _ in range(repeats):
        step()
    return (device_time(torch.device(device)) - began) / repeats


def peak_bytes(step: Step, logits: Tensor) -> int:
    """Most memory of tensors that one step held beyond what there was before, the gradient included."""
    logits.grad = None
    if logits.device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    # The profiler's summaries add up per operator; only the raw events, in order of time, say what was held at once.
    assert profiler.profiler is not None
    waiting = list(profiler.profiler.kineto_results.experimental_event_tree())
    changes = []
    while waiting:
        event = waiting.pop()
        waiting += event.children
        if event.name == "[memory]":
            changes.append((event.start_time_ns, event.extra_fields.alloc_size))
    held = peak = 0
    for _, change in sorted(changes, key=lambda pair: pair[0]):
        held += change
        peak = max(peak, held)
    return peak


def measure(number: int, classes: int, rounds: int, device: str) -> dict[str, dict[str, float]]:
    """Milliseconds, ratio to cross entropy with its quartiles, and memory of each loss."""
    batch = Batch(number, classes, device)
    steps = batch.steps()
    # Small batches and launches on a GPU take less time than a clock's call measures well.
    repeats = 20 if device == "cuda" or number * classes < 100_000 else 1
    candidates = {name: partial(seconds, step, repeats, device) for name, step in steps.items()}
    times = in_turns(candidates, rounds, warm=3)
    size = batch.logits.numel() * batch.logits.element_size()
    results = {}
    for name, step in steps.items():
        ratios = [own / reference for own, reference in zip(times[name], times[REFERENCE], strict=True)]
        ratio = spread(ratios)
        results[name] = {
            "milliseconds": 1000 * median(times[name]),
            "ratio": ratio["median"],
            "ratio_quartile_1": ratio["quartile_1"],
            "ratio_quartile_3": ratio["quartile_3"],
            "peak_memory": peak_bytes(step, batch.logits) / size,
        }
    return results


def table(title: str, results: dict[str, dict[str, float]]) -> Table:
    """Losses as rows; milliseconds, ratio to cross entropy with quartiles, and memory as columns."""
    made = Table(title=title, title_justify="left")
    made.add_column("loss")
    for head in ("ms", "x cross entropy", "quartiles", "memory / logits"):
        made.add_column(head, justify="right")
    for name, row in results.items():
        spread = f"{row['ratio_quartile_1']:.2f}–{row['ratio_quartile_3']:.2f}"
        made.add_row(name, f"{row['milliseconds']:.3f}", f"{row['ratio']:.2f}", spread, f"{row['peak_memory']:.1f}")
    return made


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--sizes", nargs="+", default=["128x100", "256x1000", "256x8142"], help="N x K")
    parser.add_argument("--rounds", type=int, default=40, help="at least 2")
    parser.add_argument("--threads", type=int, help="of torch; all cores by default")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/losses.json"))
    arguments = parser.parse_args()

    if arguments.device == "cpu":
        pinned(KINETO_LOG_LEVEL="99")  # the profiler otherwise reports every start and stop
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    results = {}
    for size in arguments.sizes:
        number, classes = map(int, size.split("x"))
        results[size] = measure(number, classes, arguments.rounds, arguments.device)
    hardware = environment(arguments.device)
    record = {
        "environment": hardware,
        "protocol": {"device": arguments.device, "rounds": arguments.rounds, "dtype": "float32", "interleaved": True},
        "sizes": results,
    }
    write_json(arguments.output, record)
    where = (
        f"{hardware['hardware']}, {hardware['threads']} threads" if arguments.device == "cpu" else hardware["hardware"]
    )
    print(f"forward and backward in fp32, {where}, torch {hardware['torch']}, medians of {arguments.rounds} rounds")
    for size, rows in results.items():
        show(table(f"(N, K) = ({size.replace('x', ', ')})", rows))
    print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()

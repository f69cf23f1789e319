"""Training heads on features: stacked against one at a time, and one head through a Trainer.

    python benchmarks/stage2.py --threads 2

Features are made up, of CIFAR100-LT's size at imbalance ratio 100: what is timed does not depend on their values.
Candidates take turns, each figure is the median of the rounds with their quartiles, memory is pinned (without it page
faults alone move fp32 twofold), and a GPU computes in fp32 proper, as `compare` does. Parts: (b) 64 heads, 8 learning
rates × 8 weight decays; (c) LORT, 20 epochs, bare and through a Trainer, which takes features from the host as ``fit``
does; (d) one head of iNaturalist 2018's size, features memory-mapped, extrapolated from some steps.
"""

import argparse
import json
import resource
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from measuring import Timed, in_turns, pinned, spread
from timed_fit import now
from torch import Tensor

from lt_lightning.backbones import Identity
from lt_lightning.data import LTDataModule
from lt_lightning.data.base import Batch, LabelledImages, Split
from lt_lightning.data.profiles import class_counts
from lt_lightning.devices.tf32 import tf32
from lt_lightning.heads import LinearHead
from lt_lightning.losses import LORTLoss
from lt_lightning.modules import RepresentationModule
from lt_lightning.quiet import quiet
from lt_lightning.results import environment, write_json
from lt_lightning.retraining import HeadRun, train_heads
from lt_lightning.samplers import InstanceSampler
from lt_lightning.schedules import CosineLR

COUNTS = class_counts("exponential", 100, 500, 100.0)
DIM, BATCH = 512, 64
GRID = [(1e-4 * 2**i, 1e-5 * 4**j) for i in range(8) for j in range(8)]
IMAGES, LARGE_DIM, CLASSES = 437_513, 2048, 8142
"""iNaturalist 2018."""
STORED = 30_000
"""Of its images, that are there to time with."""


class Rows:
    """Made-up features with a direction for each class."""

    def __init__(self, device: str) -> None:
        generator = torch.Generator().manual_seed(0)
        self.targets = torch.arange(len(COUNTS)).repeat_interleave(torch.tensor(COUNTS))
        centres = torch.randn(len(COUNTS), DIM, generator=generator)
        features = (centres[self.targets] + torch.randn(len(self.targets), DIM, generator=generator)).relu()
        self.features, self.targets = features.to(device), self.targets.to(device)

    def take(self, indices: Tensor, epoch: int) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """One gather."""
        indices = indices.to(self.features.device)
        return self.features.index_select(0, indices), self.targets.index_select(0, indices)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, indices: list[int]) -> Batch:
        return self.take(torch.tensor(indices), 0)


class RowsLT(LTDataModule):
    """The same features for a Trainer, on the host: what lies on a GPU already cannot be pinned."""

    def __init__(self, rows: Rows) -> None:
        super().__init__(batch_size=BATCH)
        self.rows = rows

    @property
    def class_counts(self) -> list[int]:
        """As published for CIFAR100-LT."""
        return COUNTS

    @property
    def class_names(self) -> list[str]:
        """Numbers."""
        return [str(label) for label in range(len(COUNTS))]

    def load(self, split: Split) -> LabelledImages | None:
        """Training features alone."""
        return self.rows if split == "train" else None

    def to_input(self, images: Tensor, training: bool, generator: torch.Generator | None) -> Tensor:  # noqa: ARG002
        """Features are input already."""
        return images


class MappedRows:
    """Half-precision features in a file, as many as there are to time with, whose batches go to a device."""

    def __init__(self, path: Path, device: str) -> None:
        self.device = device
        values = torch.from_file(str(path), shared=True, size=STORED * LARGE_DIM, dtype=torch.float16)
        self.features = values.view(STORED, LARGE_DIM)
        for part in self.features.split(4096):
            part.normal_()
        self.targets = torch.arange(STORED) % CLASSES  # a sampler needs one of each

    def take(self, indices: Tensor, epoch: int) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """One gather, raised to fp32 where the heads are."""
        rows, targets = self.features.index_select(0, indices), self.targets.index_select(0, indices)
        return rows.to(self.device, non_blocking=True).float(), targets.to(self.device, non_blocking=True)


def through_a_trainer(rows: Rows, epochs: int, device: str) -> None:
    """LORT as `lt-lightning fit` would train it, on features that lie on the host."""
    module = RepresentationModule(
        COUNTS,
        Identity(DIM),
        LinearHead,
        LORTLoss,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=5e-4, momentum=0.9),
        tf32=False,
    )
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="gpu" if device.startswith("cuda") else "cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, datamodule=RowsLT(rows))


def large_head(batch: int, steps: int, rows: MappedRows) -> float:
    """Seconds of a step of a head on features of iNaturalist's size."""
    counts = class_counts("exponential", CLASSES, 1000, 500.0)
    head = LinearHead(LARGE_DIM, counts).to(rows.device)
    optimizer = torch.optim.SGD(head.parameters(), lr=5e-4, momentum=0.9)
    scheduler = CosineLR(optimizer)
    scheduler.set_epochs(1)

    class Some(InstanceSampler):
        """As many images as the steps take; those that are there again and again."""

        def indices(self, epoch: int) -> Tensor:
            order = super().indices(epoch)
            return order.repeat(-(-steps * batch // len(order)))[: steps * batch]

    run = HeadRun(head, LORTLoss(counts).to(rows.device), optimizer, scheduler, Some(rows.targets), batch, 1)
    began = now()
    train_heads([run], rows)
    return (now() - began) / steps


def large_heads(steps: int, rounds: int, device: str) -> dict[str, dict[str, Timed]]:
    """Milliseconds of a step and seconds of an epoch, extrapolated from it, with two batch sizes."""
    with tempfile.TemporaryDirectory() as folder:
        rows = MappedRows(Path(folder) / "features.bin", device)
        candidates = {batch: partial(large_head, batch, steps, rows) for batch in (64, 512)}
        found = in_turns(candidates, rounds, warm=1)  # the first pass allocates, and a GPU loads what it computes with
    return {
        f"batch {batch}": {
            "milliseconds a step": spread([1000 * seconds for seconds in taken]),
            "seconds an epoch": spread([seconds * IMAGES / batch for seconds in taken]),
        }
        for batch, taken in found.items()
    }


def make_run(rows: Rows, sampler: InstanceSampler, lr: float, weight_decay: float, epochs: int) -> HeadRun:
    """A LORT head that starts from small random weights, the same for all."""
    torch.manual_seed(0)
    head = LinearHead(DIM, COUNTS).to(rows.features.device)
    optimizer = torch.optim.SGD(head.parameters(), lr=lr, momentum=0.9, weight_decay=weight_decay)
    scheduler = CosineLR(optimizer)
    scheduler.set_epochs(epochs)
    loss = LORTLoss(COUNTS).to(rows.features.device)
    return HeadRun(head, loss, optimizer, scheduler, sampler, BATCH, epochs)


def by_autograd(runs: list[HeadRun], rows: Rows) -> None:
    """What one writes without this package: autograd and torch's SGD, one head after another."""
    for run in runs:
        for epoch in range(run.epochs):
            for indices in torch.split(run.sampler.indices(epoch), BATCH):
                features, targets = rows.take(indices, epoch)
                logits = torch.nn.functional.linear(features, run.head.weight, run.head.bias)
                loss = torch.nn.functional.cross_entropy(logits, targets, label_smoothing=run.loss.delta)
                run.optimizer.zero_grad()
                loss.backward()
                run.optimizer.step()
            run.scheduler.step()


def seconds_of(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, Timed]:
    """Seconds of each candidate."""

    def timed(candidate: Callable[[], object]) -> float:
        began = now()
        candidate()
        return now() - began

    found = in_turns({name: partial(timed, candidate) for name, candidate in candidates.items()}, rounds)
    return {name: spread(taken) for name, taken in found.items()}


def difference(one: list[HeadRun], other: list[HeadRun]) -> float:
    """Largest difference of any weight, relative to the largest weight."""
    pairs = [(a.head.weight, b.head.weight) for a, b in zip(one, other, strict=True)]
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """Every part."""
    rows, host = Rows(arguments.device), Rows("cpu")
    sampler = InstanceSampler(rows.targets.cpu())

    grid = GRID[:: max(1, 64 // arguments.heads)][: arguments.heads]
    made: dict[str, list[HeadRun]] = {}

    def heads(name: str) -> list[HeadRun]:
        made[name] = [make_run(rows, sampler, lr, decay, 1) for lr, decay in grid]
        return made[name]

    def one(name: str) -> list[HeadRun]:
        made[name] = [make_run(rows, sampler, 5e-4, 0.0, arguments.epochs)]
        return made[name]

    record: dict[str, object] = {"heads": len(grid)}
    record["b: one epoch of all heads"] = found = seconds_of(
        {
            "autograd, in turn": lambda: by_autograd(heads("autograd"), rows),
            "stacked": lambda: train_heads(heads("stacked"), rows),
        },
        arguments.rounds,
    )
    record["b: ratio of medians"] = found["autograd, in turn"]["median"] / found["stacked"]["median"]
    record["b: largest relative difference of a weight"] = difference(made["stacked"], made["autograd"])
    record["c: LORT alone"] = seconds_of(
        {
            "autograd": lambda: by_autograd(one("lort, autograd"), rows),
            "feature loop": lambda: train_heads(one("lort"), rows),
            "Trainer": lambda: through_a_trainer(host, arguments.epochs, arguments.device),
        },
        arguments.rounds,
    )
    record["c: epochs"] = arguments.epochs
    steps = (400 if arguments.device.startswith("cuda") else 24) if arguments.steps is None else arguments.steps
    if steps:
        record["d: 437,513 x 2048, K 8142"] = large_heads(steps, arguments.rounds, arguments.device)
        record["d: peak memory of the whole run, GB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return record


def main() -> None:
    """Time both parts, print them, write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--epochs", type=int, default=20, help="of part (c); part (b) has one")
    parser.add_argument("--heads", type=int, default=64, help="of part (b)")
    parser.add_argument("--steps", type=int, help="of part (d); 24, on a GPU 400; 0 leaves it out")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/stage2.json"))
    arguments = parser.parse_args()
    pinned()
    torch.set_num_threads(arguments.threads)
    quiet()
    record = {"environment": environment(arguments.device), "threads": arguments.threads}
    with tf32(False, torch.device(arguments.device)):
        record |= measure(arguments)
    write_json(arguments.output, record)
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()

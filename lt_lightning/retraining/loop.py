"""Training of heads on features, as many at once as share their batches."""

import time
from collections.abc import Callable, Hashable, Iterator, Sequence

import torch

from lt_lightning.retraining.runs import FeatureRows, HeadRun
from lt_lightning.retraining.stacked import Stack, stack_key

HEADS_PER_STACK = 16
"""On a CPU: 16 or 32 heads of 100 × 64 stay in its cache with their velocities; 64 in one stack took a fifth longer."""


class _Single:
    """One head by autograd: any head, loss and optimiser."""

    def __init__(self, run: HeadRun) -> None:
        self.run, self.runs = run, [run]
        run.head.train()
        run.loss.train()

    def step(self, features: torch.Tensor, targets: torch.Tensor) -> None:
        run = self.run
        with torch.enable_grad():
            loss = run.loss(run.head(features), targets, features)
        run.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        run.optimizer.step()
        if run.head.project_every == "step":
            run.head.project_()

    def end_epoch(self) -> None:
        if self.run.head.project_every == "epoch":
            self.run.head.project_()
        self.run.scheduler.step()

    def write_back(self) -> None:
        self.run.head.eval()
        self.run.loss.eval()
        self.run.optimizer.zero_grad(set_to_none=True)


def train_heads(runs: Sequence[HeadRun], features: FeatureRows, on_epoch: Callable[[int], None] | None = None) -> None:
    """Train heads in place.

    Runs with one sampler, batch size and number of epochs see the same batches; of those, heads of one kind with like
    losses and plain SGD are trained in one :class:`Stack`, the others one after another within each batch.

    Args:
        runs: What to train; each as if alone, to rounding.
        features: Of the training images, on the device of the heads.
        on_epoch: Called after each epoch with the number of heads that it moved, for progress bars.
    """
    for shared in _groups(runs, lambda run: (id(run.sampler), run.batch_size, run.epochs)).values():
        sampler, batch_size = shared[0].sampler, shared[0].batch_size
        trained = list(_teams(shared))
        spent = [0.0] * len(trained)
        for epoch in range(shared[0].epochs):
            order = sampler.indices(epoch)
            for indices in torch.split(order, batch_size):
                rows, targets = features.take(indices, epoch)
                for place, team in enumerate(trained):
                    started = time.perf_counter()
                    team.step(rows, targets)
                    spent[place] += time.perf_counter() - started
            for team in trained:
                team.end_epoch()
            if on_epoch is not None:
                on_epoch(len(shared))
        for team, seconds in zip(trained, spent, strict=True):
            team.write_back()
            for run in team.runs:
                run.seconds += seconds / len(team.runs)


def _teams(runs: Sequence[HeadRun]) -> Iterator[Stack | _Single]:
    for key, alike in _groups(runs, stack_key).items():
        if key is None:
            yield from map(_Single, alike)
            continue
        on_cpu = next(alike[0].head.parameters()).device.type == "cpu"
        most = HEADS_PER_STACK if on_cpu else len(alike)
        for first in range(0, len(alike), most):
            yield Stack(alike[first : first + most])


def _groups(runs: Sequence[HeadRun], key: Callable[[HeadRun], Hashable]) -> dict[Hashable, list[HeadRun]]:
    found: dict[Hashable, list[HeadRun]] = {}
    for run in runs:
        found.setdefault(key(run), []).append(run)
    return found

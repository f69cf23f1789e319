"""Training of heads on features, as many at once as share their batches."""

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from inspect import signature
from typing import Any, cast

import torch
from torch.optim import LBFGS

from lt_lightning.devices.clock import device_time
from lt_lightning.errors import UsageError
from lt_lightning.progress import Advance
from lt_lightning.retraining.naming import naming
from lt_lightning.retraining.own_parts import is_known, unshared
from lt_lightning.retraining.portions import portions
from lt_lightning.retraining.runs import FeatureRows, HeadRun
from lt_lightning.retraining.stacked_sgd import StackedSGD, stack_key

HEADS_PER_STACK = 16
"""On a CPU: 16 or 32 heads of 100 × 64 stay in its cache with their velocities; 64 in one stack took a fifth longer."""

LOGITS_BYTES = 2**28
"""On a CPU too, for the logits of a stack's batch; some losses and heads briefly need five times as much."""

STACK_BYTES = 2**30
"""On other devices, for a stack's weights or its batch's logits: 16 heads of 8142 × 2048, or all small ones."""

ROUND_BYTES = 2**32
"""Weights of heads that train at the same time, 64 of 8142 × 2048; training needs twice as much on top."""


class _Autograd:
    """One head by autograd: any head, loss and optimiser."""

    def __init__(self, runs: Sequence[HeadRun]) -> None:
        (self.run,) = self.runs = list(runs)
        run = self.run
        all_known = all(map(is_known, (run.head, run.loss, run.optimizer, run.scheduler)))
        self._random_state = None if all_known else run.random_state  # built-in parts draw no random numbers
        # LBFGS and SAM ask for a batch's loss, as often as they like; torch's others ask once, if at all.
        optimizer = run.optimizer
        of_torch = type(optimizer).__module__.startswith("torch.optim") and not isinstance(optimizer, LBFGS)
        self._asks = not of_torch and "closure" in signature(optimizer.step).parameters
        run.head.train()
        run.loss.train()

    def step(self, features: torch.Tensor, targets: torch.Tensor) -> None:
        with self._apart():
            if self._asks:
                self._step_that_asks(features, targets)
            else:
                self._backward(features, targets)
                self.run.optimizer.step()
            if self.run.head.project_every == "step":
                self.run.head.project_()

    def _step_that_asks(self, features: torch.Tensor, targets: torch.Tensor) -> None:
        taken: list[torch.Tensor] = []

        def closure() -> torch.Tensor:
            taken.append(self._backward(features, targets))
            return taken[-1]

        cast(Any, self.run.optimizer).step(closure)  # its annotation knows floats alone
        if not taken:
            raise UsageError(
                f"`optimizer` {type(self.run.optimizer).__name__} does not call the closure that its `step` is given, "
                f"so it has no gradients; have it call the closure first, as torch's optimizers do."
            )

    @torch.enable_grad()
    def _backward(self, features: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of a batch, with new gradients."""
        run = self.run
        features, targets = (unshared(given, run.head, run.loss) for given in (features, targets))
        loss = run.loss(run.head(features), targets, features)
        run.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        return cast(torch.Tensor, loss.detach())

    def end_epoch(self) -> None:
        with self._apart():
            if self.run.head.project_every == "epoch":
                self.run.head.project_()
            self.run.scheduler.step()

    def write_back(self) -> None:
        self.run.head.eval()
        self.run.loss.eval()
        self.run.optimizer.zero_grad(set_to_none=True)
        self.run.optimizer.state.clear()  # over all seeds it takes as much memory as the heads, or twice that

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """Name the method in errors, and let a user's own parts draw as if they trained alone."""
        with naming(self.run.name), nullcontext() if self._random_state is None else self._random_state.drawn_from():
            yield


_Kind = type[StackedSGD] | type[_Autograd]
_Team = tuple[_Kind, list[HeadRun]]
"""Heads that train together, and the class that will train them, which takes memory only once made."""


def train_heads(runs: Sequence[HeadRun], features: FeatureRows, on_step: Advance | None = None) -> None:
    """Train heads in place.

    Runs with one sampler, batch size and number of epochs see the same batches; of those, heads of one kind with like
    losses and plain SGD are trained in one :class:`StackedSGD`, the others one after another within each batch. Where
    all of them would take much memory, some are trained after the others.

    Args:
        runs: What to train; each as if alone, to rounding.
        features: Of the training images, on the device of the heads.
        on_step: Called after a step of some heads with the part of an epoch that it was, times the number of these
            heads, for progress bars: an epoch of many large heads may take hours.
    """
    for shared in _groups(runs, lambda run: (id(run.sampler), run.batch_size, run.epochs)).values():
        for teams in portions(_teams(shared), _nbytes, ROUND_BYTES):
            _train(teams, features, on_step)


def try_step(run: HeadRun, features: torch.Tensor, targets: torch.Tensor) -> None:
    """Train one head on a batch and end its epoch, by autograd, to see whether that works.

    Args:
        run: Head and loss are changed, as in training, and left in evaluation mode.
        features: ``(B, D)``, on the device of the head.
        targets: ``(B,)``, int64, likewise.
    """
    mover = _Autograd([run])
    mover.step(features, targets)
    mover.end_epoch()
    mover.write_back()


def _train(teams: Sequence[_Team], features: FeatureRows, on_step: Advance | None) -> None:
    """Train heads that see the same batches at the same time."""
    movers = [kind(runs) for kind, runs in teams]
    first = movers[0].runs[0]
    device = next(first.head.parameters()).device
    began = device_time(device)
    spent = [0.0] * len(movers)
    for epoch in range(first.epochs):
        with naming(first.name):
            order = first.sampler.indices(epoch)
        batches = torch.split(order, first.batch_size)
        for indices in batches:
            rows, targets = features.take(indices, epoch)
            for place, mover in enumerate(movers):
                started = time.perf_counter()
                mover.step(rows, targets)
                spent[place] += time.perf_counter() - started
                if on_step is not None:
                    on_step(len(mover.runs) / len(batches))
        for mover in movers:
            mover.end_epoch()
    for mover, seconds in zip(movers, _shares(device, spent, device_time(device) - began), strict=True):
        mover.write_back()
        for run in mover.runs:
            run.seconds += seconds / len(mover.runs)


def _shares(device: torch.device, spent: Sequence[float], whole: float) -> list[float]:
    """Seconds of each mover; on a GPU, where a step returns before it is computed, its share of the whole."""
    return [whole * seconds / sum(spent) for seconds in spent] if device.type == "cuda" else list(spent)


def _nbytes(team: _Team) -> int:
    return sum(parameter.nbytes for run in team[1] for parameter in run.head.parameters())


def _teams(runs: Sequence[HeadRun]) -> Iterator[_Team]:
    """What trains in one stack, split where that would be too large, and what trains alone."""
    for key, alike in _groups(runs, stack_key).items():
        kind: _Kind = _Autograd if key is None else StackedSGD
        most = 1 if key is None else _heads_per_stack(alike[0])
        for first in range(0, len(alike), most):
            yield kind, alike[first : first + most]


def _heads_per_stack(run: HeadRun) -> int:
    weight = next(run.head.parameters())
    logits = run.head.num_classes * run.batch_size * weight.itemsize
    if weight.device.type == "cpu":
        return max(1, min(HEADS_PER_STACK, LOGITS_BYTES // logits))
    return max(1, STACK_BYTES // max(run.head.num_classes * run.head.in_features * weight.itemsize, logits))


def _groups(runs: Sequence[HeadRun], key: Callable[[HeadRun], Hashable]) -> dict[Hashable, list[HeadRun]]:
    found: dict[Hashable, list[HeadRun]] = {}
    for run in runs:
        found.setdefault(key(run), []).append(run)
    return found

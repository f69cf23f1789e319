"""Many heads trained at once by plain SGD: one forward pass, gradients by hand, one step."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor
from torch.optim import SGD
from torch.optim.lr_scheduler import ChainedScheduler, LRScheduler, SequentialLR

from lt_lightning.retraining.own_parts import is_known
from lt_lightning.retraining.runs import HeadRun
from lt_lightning.retraining.slopes import slopes_key, slopes_of
from lt_lightning.retraining.stacks import stack_for


def stack_key(run: HeadRun) -> Hashable | None:
    """What runs of one :class:`StackedSGD` have in common; ``None`` for a run that trains alone.

    A run that stacks has a head and a loss that are known, and plain SGD with momentum over what that head trains,
    nothing frozen or freed. Its schedule leaves the momentum as it is, of which a stack has only one.
    """
    head, optimizer = run.head, run.optimizer
    kind, slopes = stack_for(head), slopes_key(run.loss)
    if kind is None or slopes is None or type(optimizer) is not SGD or len(optimizer.param_groups) != 1:
        return None
    group = optimizer.param_groups[0]
    if group["nesterov"] or group["dampening"] or group["maximize"] or optimizer.state:
        return None
    if _may_move_momentum(run.scheduler):
        return None
    wanted = {id(head.get_parameter(name)) for name in kind.names(head)}
    if not wanted == {id(p) for p in group["params"]} == {id(p) for p in head.parameters() if p.requires_grad}:
        return None
    shapes = tuple((name, value.shape, value.dtype, value.device) for name, value in head.named_parameters())
    return kind, shapes, slopes, float(group["momentum"])


def _may_move_momentum(scheduler: LRScheduler) -> bool:
    """Whether a schedule, or one inside it, cycles the momentum against the learning rate; a user's own may."""
    if not is_known(scheduler):
        return True
    if isinstance(scheduler, SequentialLR | ChainedScheduler):
        return any(map(_may_move_momentum, scheduler._schedulers))
    return bool(getattr(scheduler, "cycle_momentum", False))


class StackedSGD:
    """H heads in training. :meth:`step` moves all of them; :meth:`write_back` gives each what it has learnt.

    It equals autograd with :class:`torch.optim.SGD` to rounding.

    Args:
        runs: Runs with one :func:`stack_key`, which is not ``None``.
    """

    def __init__(self, runs: Sequence[HeadRun]) -> None:
        self.runs = list(runs)
        kind = stack_for(runs[0].head)
        assert kind is not None
        self.heads = kind([run.head for run in runs], float(runs[0].optimizer.param_groups[0]["momentum"]))
        self.slopes = slopes_of([run.loss for run in runs], self.heads.values[0])
        self.rates, self.decays = self._options()

    @torch.no_grad()
    def step(self, features: Tensor, targets: Tensor) -> None:
        """One step of SGD on a batch, ``(N, D)`` and ``(N,)``."""
        logits, pull = self.heads.forward(features)
        pull(*self.slopes(logits, targets, features))
        for place, (value, velocity) in enumerate(zip(self.heads.values, self.heads.velocities, strict=True)):
            if self.decays is not None:
                velocity.addcmul_(value, self.decays[place])
            value.addcmul_(velocity, self.rates[place], value=-1)
        self.heads.project(at_step=True)

    @torch.no_grad()
    def end_epoch(self) -> None:
        """Project what is projected once an epoch, and move every learning rate on."""
        self.heads.project(at_step=False)
        for run in self.runs:
            run.optimizer.step()  # it has no gradients and does nothing, but schedules insist on the order
            run.scheduler.step()
        self.rates, self.decays = self._options()

    @torch.no_grad()
    def write_back(self) -> None:
        """Give each head its parameters, and each loss its state."""
        self.heads.write_back()
        self.slopes.write_back()

    def _options(self) -> tuple[list[Tensor], list[Tensor] | None]:
        """Learning rates and weight decays, ``(H, 1, ...)`` to go with each parameter; no decays where all are 0."""
        rates, decays = self._option("lr"), self._option("weight_decay")
        return rates, decays if any(run.optimizer.param_groups[0]["weight_decay"] for run in self.runs) else None

    def _option(self, name: str) -> list[Tensor]:
        numbers = [float(run.optimizer.param_groups[0][name]) for run in self.runs]
        return [value.new_tensor(numbers).view(-1, *[1] * (value.dim() - 1)) for value in self.heads.values]

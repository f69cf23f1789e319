"""Many linear heads trained at once: their weights in one matrix, one product a step, gradients by hand."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.optim import SGD

from lt_lightning.heads import LinearHead, MaxNormHead
from lt_lightning.retraining.forms import SoftmaxForm, softmax_form
from lt_lightning.retraining.runs import HeadRun

_HEADS = (LinearHead, MaxNormHead)


def stackable(run: HeadRun) -> bool:
    """Whether a run is a linear head, a softmax loss and plain SGD with momentum, nothing frozen."""
    head, optimizer = run.head, run.optimizer
    if type(head) not in _HEADS or type(optimizer) is not SGD or softmax_form(run.loss) is None:
        return False
    group = optimizer.param_groups[0]
    plain = not (group["nesterov"] or group["dampening"] or group["maximize"] or optimizer.state)
    return plain and len(optimizer.param_groups) == 1 and _same(group["params"], _parameters(run))


def momentum_of(run: HeadRun) -> float:
    """Momentum of a stackable run: heads of one stack share it, since it is folded into the product."""
    return float(run.optimizer.param_groups[0]["momentum"])


class Stack:
    """H linear heads in training. :meth:`step` moves all of them; :meth:`write_back` gives each its weights.

    A step costs one product for the logits and one for the gradients, into which the momentum is folded. It equals
    autograd with :class:`torch.optim.SGD` to rounding.

    Args:
        runs: Runs that :func:`stackable` accepts, with one momentum, and heads of one shape on one device.
    """

    def __init__(self, runs: Sequence[HeadRun]) -> None:
        self.runs = list(runs)
        heads = [run.head for run in runs]
        parameters = [_parameters(run) for run in runs]
        like = parameters[0][0].detach()
        self.shape = (len(heads), *like.shape)
        self.weight = torch.cat([weight.detach() for weight, _ in parameters])
        self.bias = torch.stack([bias.detach() for _, bias in parameters])
        self.velocity = torch.zeros_like(self.weight)
        self.bias_velocity = torch.zeros_like(self.bias)
        self.momentum = momentum_of(runs[0])
        forms = [softmax_form(run.loss) for run in runs]
        form = SoftmaxForm.stack([form for form in forms if form is not None])
        # Parts that say nothing are left out of every step.
        self.scale = _unless(form.scale, 1.0, like)
        self.offset = _unless(form.offset, 0.0, like)
        self.margin = _unless(form.margin, 0.0, like)
        self.smoothing = _unless(form.smoothing, 0.0, like)
        self.sample_weight = _unless(form.weight, 1.0, like)
        self.radius = self._radii(like)
        self.each_step = [head.project_every == "step" for head in heads]
        self.rate, self.decay = self._options()

    def step(self, features: Tensor, targets: Tensor) -> None:
        """One step of SGD on a batch, ``(N, D)`` and ``(N,)``."""
        number, (heads, classes, _) = len(targets), self.shape
        logits = torch.addmm(self.bias.flatten(), features, self.weight.t()).view(number, heads, classes)
        slopes = self._slopes(logits, targets).view(number, heads * classes)
        share = 1.0 if self.sample_weight is not None else 1.0 / number
        self.velocity.addmm_(slopes.t(), features, beta=self.momentum, alpha=share)
        self.bias_velocity.mul_(self.momentum).add_(slopes.sum(dim=0).view(heads, classes), alpha=share)
        if self.decay is not None:
            self.velocity.addcmul_(self.weight, self._by_row(self.decay))
            self.bias_velocity.addcmul_(self.bias, self.decay)
        self.weight.addcmul_(self.velocity, self._by_row(self.rate), value=-1)
        self.bias.addcmul_(self.bias_velocity, self.rate, value=-1)
        self._project(at_step=True)

    def end_epoch(self) -> None:
        """Project what is projected once an epoch, and move every learning rate on."""
        self._project(at_step=False)
        for run in self.runs:
            run.optimizer.step()  # it has no gradients and does nothing, but schedules insist on the order
            run.scheduler.step()
        self.rate, self.decay = self._options()

    @torch.no_grad()
    def write_back(self) -> None:
        """Give each head its weights."""
        for run, weight, bias in zip(self.runs, self.weight.view(self.shape), self.bias, strict=True):
            own_weight, own_bias = _parameters(run)
            own_weight.copy_(weight)
            own_bias.copy_(bias)

    def _slopes(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Derivative of each head's loss with respect to its logits, times N where samples have no weights."""
        number, heads, classes = logits.shape
        index = targets.view(number, 1, 1).expand(number, heads, 1)
        if self.scale is not None:
            logits = logits * self.scale
        if self.offset is not None:
            logits = logits + self.offset
        if self.margin is not None:
            logits = logits.scatter_add(2, index, -self._of(self.margin, targets))
        slopes = torch.softmax(logits, dim=2)
        if self.smoothing is None:
            slopes.scatter_add_(2, index, logits.new_full((1, 1, 1), -1.0).expand(number, heads, 1))
        else:
            smoothing = self._of(self.smoothing, targets)
            slopes.sub_(smoothing / classes).scatter_add_(2, index, smoothing - 1)
        if self.sample_weight is not None:
            weights = self._of(self.sample_weight, targets)
            slopes.mul_(weights / weights.sum(dim=0).clamp_min(torch.finfo(weights.dtype).tiny))
        return slopes if self.scale is None else slopes.mul_(self.scale)

    def _of(self, values: Tensor, targets: Tensor) -> Tensor:
        return values[:, targets].t().unsqueeze(2)  # (N, H, 1)

    def _by_row(self, values: Tensor) -> Tensor:
        heads, classes, _ = self.shape
        return values.expand(heads, classes).reshape(-1, 1)

    def _options(self) -> tuple[Tensor, Tensor | None]:
        groups = [run.optimizer.param_groups[0] for run in self.runs]
        rate = self.bias.new_tensor([group["lr"] for group in groups]).unsqueeze(1)
        decay = self.bias.new_tensor([group["weight_decay"] for group in groups]).unsqueeze(1)
        return rate, decay if any(group["weight_decay"] for group in groups) else None

    def _radii(self, like: Tensor) -> Tensor | None:
        """Largest norm of each head's weights, infinite where there is no bound, ``(H, 1, 1)``."""
        if not any(isinstance(run.head, MaxNormHead) for run in self.runs):
            return None
        unbounded = like.new_full((), torch.inf)
        radii = [run.head.radius if isinstance(run.head, MaxNormHead) else unbounded for run in self.runs]
        return torch.stack([radius.to(like) for radius in radii]).view(-1, 1, 1)

    def _project(self, at_step: bool) -> None:
        if self.radius is None or at_step not in self.each_step:
            return
        weight = self.weight.view(self.shape)
        norms = weight.norm(dim=2, keepdim=True)
        now = torch.tensor([each == at_step for each in self.each_step], device=weight.device).view(-1, 1, 1)
        too_long = (norms > self.radius) & now
        weight.mul_(torch.where(too_long, self.radius / norms, torch.ones_like(norms)))


def _unless(values: Tensor, neutral: float, like: Tensor) -> Tensor | None:
    return None if bool((values == neutral).all()) else values.to(like)


def _parameters(run: HeadRun) -> tuple[Tensor, Tensor]:
    head = run.head
    return cast(Tensor, head.weight), cast(Tensor, head.bias)


def _same(found: list[Tensor], wanted: tuple[Tensor, Tensor]) -> bool:
    return len(found) == 2 and all(any(a is b for b in wanted) and a.requires_grad for a in found)

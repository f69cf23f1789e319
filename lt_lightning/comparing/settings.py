"""What a stage-2 method consists of, as plain settings and as the parts made from them."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lt_lightning.errors import UsageError, check_at_least_1
from lt_lightning.heads import Head, LinearHead
from lt_lightning.long_lists import allow_long_lists
from lt_lightning.losses import CrossEntropyLoss, Loss
from lt_lightning.modules.base import HeadFactory, LossFactory
from lt_lightning.modules.combinations import check_head_and_loss, check_sampler
from lt_lightning.modules.contract import make_parts
from lt_lightning.modules.optimisation import check_epochs
from lt_lightning.modules.starting import check_start
from lt_lightning.nulls import refuse_nulls
from lt_lightning.parser_errors import sentences
from lt_lightning.samplers import EpochSampler, InstanceSampler
from lt_lightning.samplers.base import make_sampler, targets_from_counts
from lt_lightning.schedules import CosineLR, check_inner_lengths

Plain = dict[str, Any]
"""Settings as a YAML file has them."""

UNSAID: Plain = {
    "head": {"class_path": "lt_lightning.heads.LinearHead"},
    "loss": {"class_path": "lt_lightning.losses.CrossEntropyLoss"},
    "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 5e-4, "momentum": 0.9}},
    "lr_scheduler": {"class_path": "lt_lightning.schedules.CosineLR"},
}
"""What :class:`RetrainModule` has where nothing is said, spelt out for grids to vary and for jsonargparse to make."""


_CLASSES = ("head", "loss", "optimizer", "lr_scheduler", "sampler")
_KNOWN = ("lt_lightning.", "torch.optim.SGD", "torch.optim.sgd.SGD")


@dataclass(frozen=True)
class Settings:
    """One method with all its constants: what :class:`RetrainModule`, trainer and data are told elsewhere.

    Attributes:
        head: Makes the classifier from ``(num_features, class_counts)``.
        loss: Makes the loss from ``(class_counts,)``.
        optimizer: Makes the optimiser from the parameters that train; LORT's stage 2 by default.
        lr_scheduler: Makes the learning-rate schedule from the optimiser; stepped once per epoch.
        sampler: Makes the sampler from ``(targets, seed)``.
        epochs: Length of training.
        batch_size: Images per step.
        allow_double_balancing: Whether loss, head and sampler may correct for imbalance more than once.
    """

    head: HeadFactory = LinearHead
    loss: LossFactory = CrossEntropyLoss
    optimizer: OptimizerCallable = lambda p: torch.optim.SGD(p, lr=5e-4, momentum=0.9)
    lr_scheduler: LRSchedulerCallable = lambda o: CosineLR(o)
    sampler: Callable[[Tensor, int], EpochSampler] = InstanceSampler
    epochs: int = 20
    batch_size: int = 64
    allow_double_balancing: bool = False

    def __post_init__(self) -> None:
        check_at_least_1(epochs=self.epochs, batch_size=self.batch_size)

    def parts(self, num_features: int, class_counts: list[int]) -> tuple[Head, Loss]:
        """A new head and a new loss, the bias as the loss wants it.

        Raises:
            UsageError: If head, loss and sampler do not go together, or one of your own does not keep to its contract.
        """
        head, loss = make_parts(num_features, class_counts, self.head, self.loss)
        check_start(head)
        check_head_and_loss(head, loss, self.allow_double_balancing)
        sampler = make_sampler(self.sampler, targets_from_counts(class_counts), 0)
        check_sampler(sampler.rebalances, head, loss, self.allow_double_balancing)
        return head, loss

    def training(self, head: Head, loss: Loss) -> tuple[Optimizer, LRScheduler]:
        """An optimiser of what trains in a head and a loss, and its schedule.

        Raises:
            UsageError: If one of them refuses its settings, or the schedule needs more than the number of the epoch,
                has a part without a length, or ends before the last epoch.
        """
        parameters = (*head.parameters(), *loss.parameters())  # ours have none; one's own may learn a temperature
        try:
            optimizer = self.optimizer(parameter for parameter in parameters if parameter.requires_grad)
            scheduler = self.lr_scheduler(optimizer)
        except (TypeError, ValueError) as error:
            raise UsageError(f"The optimizer or its schedule refuses its settings ({error}); give others.") from error
        if isinstance(scheduler, ReduceLROnPlateau):
            raise UsageError(
                "`lr_scheduler` ReduceLROnPlateau goes by validation figures, which nothing takes while heads train "
                "here; give one that goes by epochs, such as CosineLR."
            )
        check_inner_lengths(scheduler)
        check_epochs(scheduler, self.epochs)
        if isinstance(scheduler, CosineLR):
            scheduler.set_epochs(self.epochs)
        return optimizer, scheduler


@contextmanager
def about(name: str, values: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Have a refusal of settings say which method's they are.

    Args:
        name: Of the method.
        values: What the user's grid gave it, by key.
    """
    try:
        yield
    except UsageError as error:
        whose = f"`methods` {name}"
        given = " and ".join(f"`grid.{key}` {value!r}" for key, value in (values or {}).items())
        reason = str(error).removeprefix(f"{whose}: ")  # it may have been said already
        raise UsageError(f"{whose}{' with ' if given else ''}{given}: {reason}") from error


def as_text(plain: object) -> str:
    """Settings as text, equal for equal settings."""
    return json.dumps(plain, sort_keys=True, default=repr)


class SettingsParser:
    """Checks plain settings and makes their parts; short class names are those of the package."""

    def __init__(self) -> None:
        allow_long_lists()
        self._parser = ArgumentParser(exit_on_error=False)
        self._parser.add_class_arguments(Settings, "method")
        self._checked: dict[str, Namespace] = {}
        self._made: dict[str, Settings] = {}

    def check(self, plain: Mapping[str, Any], name: str) -> Namespace:
        """Settings with every default filled in.

        Args:
            plain: What a method sets.
            name: Names the method in an error.

        Raises:
            UsageError: If a class, an argument or a value is not known.
        """
        key = as_text(plain)
        if key not in self._checked:  # parsing takes longer than anything else before training
            with about(name), sentences("fit", "method", "model"):
                checked = self._parser.parse_object({"method": dict(plain)})
                refuse_nulls(checked.method, Settings)
            self._checked[key] = checked
        return self._checked[key]

    def make(self, plain: Mapping[str, Any], name: str) -> Settings:
        """The settings, their classes made into factories."""
        key = as_text(plain)
        if key not in self._made:
            self._made[key] = self._parser.instantiate(self.check(plain, name)).method
        return self._made[key]

    def arguments(self, plain: Mapping[str, Any], name: str) -> dict[str, Plain]:
        """Constructor arguments of optimiser, loss and head, defaults included, by part."""
        checked = self.check(plain, name).method
        found: dict[str, Plain] = {}
        for part in ("optimizer", "loss", "head"):
            arguments = getattr(getattr(checked, part), "init_args", None)
            found[part] = dict(vars(arguments)) if arguments is not None else {}
        return found

    def from_elsewhere(self, plain: Mapping[str, Any], name: str) -> list[str]:
        """Which of the parts that are classes are not this package's; plain SGD counts as one of its own."""
        checked = self.check(plain, name).method
        paths = {part: getattr(getattr(checked, part), "class_path", None) for part in _CLASSES}
        return [part for part, path in paths.items() if path and not path.startswith(_KNOWN)]

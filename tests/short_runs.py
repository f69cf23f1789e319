"""Short runs on the digits."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from lt_lightning.backbones import SmallCNN
from lt_lightning.data import DigitsLT
from lt_lightning.data.base import Split
from lt_lightning.modules import RepresentationModule, RetrainModule
from lt_lightning.quiet import quiet

BACKBONE = {"class_path": "SmallCNN", "init_args": {"num_features": 8}}
"""Of all short runs, as YAML has it."""

TINY = (
    "--model.backbone=SmallCNN",
    "--model.backbone.num_features=8",
    "--data=DigitsLT",
    "--data.batch_size=64",
    "--trainer.enable_progress_bar=false",
    "--trainer.accelerator=cpu",
    "--trainer.precision=32-true",  # not what the machine is fastest in
)
QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "use_distributed_sampler": False,
}


@pytest.fixture(scope="session")
def tiny() -> Callable[..., list[str]]:
    """Arguments of a command on the digits with a network of 8 features: a second or less on one core."""

    def arguments(command: str, model: str, *more: str) -> list[str]:
        return [command, f"--model={model}", *TINY, *more]

    return arguments


@pytest.fixture
def trainer() -> Callable[..., Trainer]:
    """A trainer that writes nothing unless told to."""

    def make(max_epochs: int = 1, **options: Any) -> Trainer:
        quiet()
        return Trainer(max_epochs=max_epochs, **(QUIET | options))

    return make


@pytest.fixture
def digits() -> Callable[..., DigitsLT]:
    """Digits in batches of 64: five steps an epoch."""

    def make(batch_size: int = 64, **options: Any) -> DigitsLT:
        return DigitsLT(batch_size=batch_size, **options)

    return make


@pytest.fixture
def stage1_module() -> Callable[..., RepresentationModule]:
    """A stage-1 module with 8 features for the digits."""

    def make(data: DigitsLT, **options: Any) -> RepresentationModule:
        options = {"backbone": SmallCNN(8), "group_thresholds": data.group_thresholds} | options
        return RepresentationModule(data.class_counts, **options)

    return make


@pytest.fixture
def stage2_module(stage1: Any) -> Callable[..., RetrainModule]:
    """A stage-2 module on the stage-1 checkpoint."""

    def make(data: DigitsLT, checkpoint: Any = stage1, **options: Any) -> RetrainModule:
        options = {"backbone": SmallCNN(8), "group_thresholds": data.group_thresholds} | options
        return RetrainModule(data.class_counts, str(checkpoint), **options)

    return make


def names_that_changed(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> set[str]:
    """Tensors of two state dicts that differ."""
    return {key for key, tensor in after.items() if not torch.equal(tensor, before[key])}


def sgd(parameters: Iterable[torch.nn.Parameter]) -> torch.optim.SGD:
    """An optimiser for short runs."""
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


def inputs(data: DigitsLT, split: Split) -> tuple[torch.Tensor, torch.Tensor]:
    """All images of a split as evaluation shows them, and their classes."""
    images = data.split(split)
    pixels, targets = images.__getitems__(list(range(len(images))))
    return data.to_input(pixels, training=False, generator=None), targets

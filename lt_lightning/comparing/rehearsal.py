"""One step of each method with a part of one's own, before any image passes through a network."""

from collections.abc import Iterable

import torch
from torch import Tensor

from lt_lightning.comparing.grid import Point
from lt_lightning.comparing.methods import Method
from lt_lightning.comparing.settings import SettingsParser, about
from lt_lightning.comparing.training import Stage1
from lt_lightning.heads import Head
from lt_lightning.losses import Loss
from lt_lightning.modules.rehearsal import rehearse
from lt_lightning.retraining import HeadRun, try_step
from lt_lightning.retraining.naming import naming
from lt_lightning.samplers.base import make_sampler, targets_from_counts


def rehearse_methods(
    points: Iterable[Point], stage1: Stage1, class_counts: list[int], parser: SettingsParser, device: torch.device
) -> None:
    """Let methods take a step on random features of the true length, so that one that fails does so at once.

    The package's own parts with SGD are known to serve and are left out.

    Args:
        points: One of each method.
        stage1: What heads start from.
        class_counts: Training images per class, length K.
        parser: Makes the parts.
        device: Where heads are trained.

    Raises:
        UsageError: If a part breaks its contract. What else a part raises is left as it is, and names the method.
    """
    for method in (point.method for point in points):
        if parser.from_elsewhere(method.plain, method.name):
            with about(method.name), naming(method.name):
                _rehearse(method, stage1, class_counts, parser, device)


def _rehearse(
    method: Method, stage1: Stage1, class_counts: list[int], parser: SettingsParser, device: torch.device
) -> None:
    settings = parser.make(method.plain, method.name)

    def step(head: Head, loss: Loss, features: Tensor, targets: Tensor) -> None:
        try_step(HeadRun(head, loss, *settings.training(head, loss), sampler, len(targets), 1), features, targets)

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(0)
        head, loss = settings.parts(stage1.weight.shape[1], class_counts)
        sampler = make_sampler(settings.sampler, targets_from_counts(class_counts), 0)
        if method.trains:
            sampler.set_epochs(settings.epochs)
            sampler.indices(0)
    rehearse(head, loss, stage1.weight, stage1.bias, settings.batch_size, step if method.trains else None, device)
